"""What learns beside the policy in its loop: world model, dreams, active inference, surprise."""
