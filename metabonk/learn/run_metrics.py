"""What a run logs: names, units and meanings of its metrics.

Knows the registry of metrics. Does not know who measures; what only one game counts is declared
when it is first seen.
"""

from __future__ import annotations

from metabonk.metrics import declare

METRICS = (
    ("loss_policy", "", "Clipped policy objective, negated"),
    ("loss_value", "", "Half the squared error of the critic"),
    ("entropy", "nats", "Entropy of the policy"),
    ("kl", "nats", "Divergence of the updated policy from the one that acted"),
    ("clip_fraction", "", "Part of the samples whose ratio was clipped"),
    ("gradient_norm", "", "Length of the gradient before clipping"),
    ("learning_rate", "", "Step size of Adam"),
    ("gamma", "", "Discount per step"),
    ("epochs", "", "Passes over the rollout"),
    ("explained_variance", "", "Part of the returns' variance that the critic explains"),
    ("steps_per_second", "1/s", "Environment steps per second, learning included"),
    ("episodes", "", "Episodes that ended in the rollout"),
    ("return_mean", "", "Mean return of the episodes that ended"),
    ("dreamer_return_mean", "", "Mean return of the episodes that the dreamer itself played"),
    ("eval_return_mean", "", "Mean return of evaluation episodes, of whoever serves"),
    ("eval_policy_mean", "", "Mean return of the policy on the same episodes, beside a dreamer"),
    ("eval_dreamer_mean", "", "Mean return of the dreamer on the same episodes"),
    ("eval_random_mean", "", "Mean return of random play on the same episodes"),
    ("eval_scripted_mean", "", "Mean return of scripted play on the same episodes"),
    ("episode_length", "steps", "Mean length of the episodes that ended"),
    ("seconds_env", "s", "Time of a rollout spent in the game"),
    ("seconds_policy", "s", "Time of a rollout spent in the network"),
    ("seconds_update", "s", "Time of the update"),
    ("seconds_world", "s", "Time of the world model's updates"),
    ("wm_recon", "", "World model: loss of what was seen, per step"),
    ("wm_reward", "nats", "World model: loss of the reward, per step"),
    ("wm_continue", "nats", "World model: loss of whether the episode goes on, per step"),
    ("wm_kl", "nats", "World model: what was seen beyond what was expected, per step"),
    ("wm_gradient_norm", "", "World model: length of the gradient before clipping"),
    ("wm_trust", "steps", "Steps ahead that the world model beats persistence and mean, running"),
    ("wm_ahead", "", "Error of the longest judged dream over that of persistence"),
    ("dream_return", "", "Return that the dreamer's dreams promise"),
    ("dream_actor_loss", "", "Loss of the dreamer's actor"),
    ("dream_critic_loss", "nats", "Loss of the dreamer's critic"),
    ("dream_entropy", "nats", "Entropy of the dreamer's actions"),
    ("dream_spread", "", "Running distance of dreamed returns' 5th and 95th percentile"),
    ("dream_gradient_norm", "", "Dreamer: length of the gradient before clipping"),
    ("dream_horizon", "steps", "Steps that the dreams lasted"),
    ("dream_skipped", "", "Dreamer: updates so far that were skipped, not finite"),
    ("distill_kl", "nats", "Divergence of the policy from the dreamer"),
    ("ppo_skipped", "", "Policy: updates so far that were skipped, not finite"),
    ("wm_skipped", "", "World model: updates so far that were skipped, not finite"),
    ("seconds_left", "s", "Estimated time until the run ends"),
    ("minutes", "min", "Training time so far"),
)


def declare_all() -> None:
    """Makes all of them loggable; safe to call again."""
    for name, unit, help in METRICS:
        declare(name, unit, help)
