"""World models and who learns in them: losses and updates, foresight, versions on disk."""
