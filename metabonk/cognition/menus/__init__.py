"""Menus: the navigator, what buttons say, the goal, and menus told from games by pixels."""
