"""Model servers as processes: their settings, their supervision, and one without a model."""
