"""What a game showed and may show next: strips of frames and their predictors."""
