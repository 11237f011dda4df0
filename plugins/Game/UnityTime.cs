// UnityTime: Unity's clock as StepDriver sets it. captureDeltaTime makes every frame as long as it
// says, however long it took; a time scale of 0 lets the game stand still.
using Metabonk.Core;
using UnityEngine;

namespace Metabonk.Game
{
    public sealed class UnityTime : ITimeControl
    {
        float before = 1;
        bool still;

        public void FixFrame(float seconds)
        {
            MainThread.Check();
            Time.captureDeltaTime = seconds;
            // Physics take a whole number of steps per frame: the same number in each.
            if (seconds > 0) Time.fixedDeltaTime = seconds;
        }

        public void Hold(bool hold)
        {
            MainThread.Check();
            if (hold == still) return;
            if (hold) before = Time.timeScale;  // menus let it stand at 0 themselves
            Time.timeScale = hold ? 0 : before;
            still = hold;
        }

        public void Seed(int seed)
        {
            MainThread.Check();
            Random.InitState(seed);
        }
    }
}
