// UnityTime: Unity's clock as StepDriver sets it. captureDeltaTime makes every frame as long as it
// says, however long it took; a time scale of 0 lets the game stand still.
using Metabonk.Core;
using UnityEngine;

namespace Metabonk.Game
{
    public sealed class UnityTime : ITimeControl
    {
        float scaleBefore = 1, physicsBefore;
        bool still, fixedFrames;

        public void FixFrame(float seconds)
        {
            MainThread.Check();
            bool fix = seconds > 0;
            if (fix && !fixedFrames) physicsBefore = Time.fixedDeltaTime;
            Time.captureDeltaTime = seconds;
            // Physics take a whole number of steps per frame: the same number in each.
            if (fix) Time.fixedDeltaTime = seconds;
            else if (fixedFrames) Time.fixedDeltaTime = physicsBefore;  // as the game had it
            fixedFrames = fix;
        }

        public void Hold(bool hold)
        {
            MainThread.Check();
            if (hold == still) return;
            if (hold) scaleBefore = Time.timeScale;  // menus let it stand at 0 themselves
            Time.timeScale = hold ? 0 : scaleBefore;
            still = hold;
        }

        public void Seed(int seed)
        {
            MainThread.Check();
            Random.InitState(seed);
        }
    }
}
