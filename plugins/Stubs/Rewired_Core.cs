// Our own stand-in for Rewired: the person's sticks and buttons, as the input snapshot reads them.
using System.Collections.Generic;

namespace Rewired
{
    public class Player
    {
        public readonly HashSet<string> Held = new HashSet<string>();
        public bool GetButton(string actionName) { return Held.Contains(actionName); }
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
    }
}
