// PersonReader: what the person at the game does: their stick, how fast they turn, what they hold,
// and where in a menu they press, also while an agent plays. Knows Rewired's and Unity's names for
// these; changes nothing. Weapons fire by themselves: fire and ability are never held.
using System;
using Assets.Scripts.Actors.Player;
using Metabonk.Core;
using Rewired;
using UnityEngine;
using UnityEngine.EventSystems;

namespace Metabonk.Game
{
    public sealed class PersonReader
    {
        /// <summary>A press in a menu from its beginning to its end; its place is where it
        /// began.</summary>
        struct Press
        {
            public bool Held, Placed;
            public float X, Y;

            public void Follow(bool held, Press begun)
            {
                if (!held) this = new Press();
                else if (!Held) this = begun;
                Held = held;
            }
        }

        static float stickX, stickY;

        readonly MenuReader menus;
        readonly ScreenPlaces places;
        readonly float lookDegreesPerSecond;
        Press submit, mouse;
        // As the frame before left them: a press may close its menu within the frame that it is
        // made in.
        Press selected;
        bool menuBefore;
        bool turned;
        float pitch, yaw;

        public PersonReader(MenuReader menus, ScreenPlaces places, float lookDegreesPerSecond)
        {
            this.menus = menus;
            this.places = places;
            this.lookDegreesPerSecond = lookDegreesPerSecond;
        }

        /// <summary>What the game read of the stick, before anything was put in its
        /// place.</summary>
        internal static void Stick(float x, float y)
        {
            stickX = x;
            stickY = y;
        }

        /// <summary>The camera was turned by so many degrees, and not by the person.</summary>
        internal void AgentTurned(float byPitch, float byYaw)
        {
            pitch += byPitch;
            yaw += byYaw;
        }

        /// <summary>Once per frame, after the menus were read. seconds: the frame's length, 0
        /// while the game stands still.</summary>
        public InputSnapshot Read(float seconds)
        {
            var seen = new InputSnapshot { MoveX = stickX, MoveY = stickY };
            Turn(seconds, ref seen);
            if (!ReInput.isReady) return seen;
            Player person = ReInput.players.GetPlayer(0);
            if (person != null) seen.Interact = person.GetButton("Interact");
            Presses(person != null && person.GetButton("UISubmit"));
            Press press = submit.Placed ? submit : mouse;
            seen.UiClick = press.Placed;
            seen.ClickX = press.X;
            seen.ClickY = press.Y;
            return seen;
        }

        // As the turning rate of an action that would have turned as far; a quick hand turns faster
        // than any action can.
        void Turn(float seconds, ref InputSnapshot seen)
        {
            MyPlayer player = MyPlayer.Instance;
            if (player == null || player.playerInput == null)
            {
                turned = false;
                return;
            }
            Vector3 now = player.playerInput.desiredCameraRotation;
            if (turned && seconds > 0)
            {
                float most = lookDegreesPerSecond * seconds;
                seen.LookX = Rate(now.y - yaw, most);
                seen.LookY = Rate(pitch - now.x, most);  // Unity's pitch grows downward
            }
            turned = true;
            pitch = now.x;
            yaw = now.y;
        }

        static float Rate(float degrees, float most)
        {
            double rate = Math.IEEERemainder(degrees, 360) / most;
            return (float)Math.Max(-1, Math.Min(1, rate));
        }

        void Presses(bool submits)
        {
            bool inMenu = menus.Open || menuBefore;
            Press at = Selected();
            submit.Follow(submits, !inMenu ? new Press() : selected.Placed ? selected : at);
            Mouse device = ReInput.controllers.Mouse;
            bool held = device != null && device.GetButton(0);
            mouse.Follow(held, inMenu && held && !mouse.Held ? Under(device) : new Press());
            selected = at;
            menuBefore = menus.Open;
        }

        // Where the widget is that a key or a gamepad would press.
        Press Selected()
        {
            EventSystem events = EventSystem.current;
            GameObject chosen = events != null ? events.currentSelectedGameObject : null;
            Widget place;
            if (chosen == null || !chosen.activeInHierarchy || !places.TryPlace(chosen, out place))
                return new Press();
            return At((place.X0 + place.X1) / 2, (place.Y0 + place.Y1) / 2);
        }

        static Press Under(Mouse device)
        {
            if (Screen.width <= 0 || Screen.height <= 0) return new Press();
            Vector2 pixels = device.screenPosition;  // from the bottom left
            return At(pixels.x / Screen.width, 1 - pixels.y / Screen.height);
        }

        static Press At(float x, float y)
        {
            bool onScreen = x >= 0 && x <= 1 && y >= 0 && y <= 1;
            return onScreen ? new Press { Placed = true, X = x, Y = y } : new Press();
        }
    }
}
