// Our own stand-in for Rewired: the person's buttons and mouse, as the input snapshot reads them.
using System.Collections.Generic;

namespace Rewired
{
    public class Player
    {
        public readonly HashSet<string> Held = new HashSet<string>();
        public bool GetButton(string actionName) { return Held.Contains(actionName); }
    }

    public class Mouse
    {
        /// <summary>Whether its left button is down in a rehearsal.</summary>
        public bool Down;
        public UnityEngine.Vector2 screenPosition { get; set; }
        public bool GetButton(int index) { return index == 0 && Down; }
    }

    public static class ReInput
    {
        public class PlayerHelper
        {
            readonly Player only = new Player();
            public Player GetPlayer(int playerId) { return only; }
        }

        static readonly PlayerHelper helper = new PlayerHelper();
        public static PlayerHelper players { get { return helper; } }
        public static bool isReady { get { return true; } }

        public class ControllerHelper
        {
            readonly Mouse only = new Mouse();
            public Mouse Mouse { get { return only; } }
        }

        static readonly ControllerHelper devices = new ControllerHelper();
        public static ControllerHelper controllers { get { return devices; } }
    }
}
