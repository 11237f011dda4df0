// DriverBehaviour: Unity's calls into what drives the game, one after each frame.
using System;
using Il2CppInterop.Runtime.Attributes;
using UnityEngine;

namespace Metabonk.Game
{
    /// <summary>What drives the game. frameEnded: after the game's own Update, so that what is said
    /// of the game is this frame's; ended: gives everything back.</summary>
    public sealed class FrameDriver
    {
        public readonly Action FrameEnded;
        public readonly IDisposable Ended;

        public FrameDriver(Action frameEnded, IDisposable ended)
        {
            FrameEnded = frameEnded;
            Ended = ended;
        }
    }

    public sealed class DriverBehaviour : MonoBehaviour
    {
        FrameDriver driver;

        public DriverBehaviour(IntPtr pointer) : base(pointer) { }

        [HideFromIl2Cpp]
        internal void Begin(FrameDriver made) { driver = made; }

        public void LateUpdate()
        {
            if (driver != null) driver.FrameEnded();
        }

        public void OnDestroy()
        {
            if (driver != null) driver.Ended.Dispose();
            driver = null;
        }
    }
}
