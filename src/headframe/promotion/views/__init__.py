"""What people read of a model's versions: card, leaderboard, history, overview."""
