// RewardMeter: what the step between two states was worth, and whether it ended the run. A weighted
// sum of what changed; knows no game and no memory.
using System;

namespace Metabonk.Core
{
    /// <summary>Weights, each per unit of what it names.</summary>
    public struct RewardWeights
    {
        public float Second, Kill, Xp, Gold, Level;
        public float Hurt;   // per whole health lost; negative
        public float Death;  // negative
    }

    public sealed class RewardMeter
    {
        readonly RewardWeights weights;
        bool any, ended;
        double time;
        float health, xp, gold;
        uint kills;
        int level;

        public RewardMeter(RewardWeights weights) { this.weights = weights; }

        /// <summary>The next state is a run's first.</summary>
        public void Reset() { any = ended = false; }

        /// <summary>Reward of the step that led to `state`; done once, when the run has
        /// ended.</summary>
        public float Measure(GameState state, out bool done)
        {
            float reward = 0;
            done = false;
            if (any && !ended)
            {
                // Levels swallow experience, spending swallows gold: only what was gained counts.
                reward = weights.Second * (float)Math.Max(0, state.Time - time)
                    + weights.Kill * Math.Max(0L, (long)state.Kills - kills)
                    + weights.Xp * Math.Max(0, state.Xp - xp)
                    + weights.Gold * Math.Max(0, state.Gold - gold)
                    + weights.Level * Math.Max(0, state.Level - level);
                if (state.MaxHealth > 0)
                    reward += weights.Hurt * Math.Max(0, health - state.Health) / state.MaxHealth;
                done = !state.Playing || state.MaxHealth > 0 && state.Health <= 0;
                if (done) reward += weights.Death;
                ended = done;
            }
            any = any || state.Playing;
            time = state.Time;
            health = state.Health;
            xp = state.Xp;
            gold = state.Gold;
            kills = state.Kills;
            level = state.Level;
            return reward;
        }
    }
}
