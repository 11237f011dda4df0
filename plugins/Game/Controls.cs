// Controls: an agent's action into the game: moves after the game has read the person's stick (a
// postfix on PlayerInput.MovementInput), jump, slide and interact by the game's own methods,
// turning by the camera rotation it wants, menus by pressing buttons. And the other way round: what
// the person does. Weapons fire by themselves: fire and ability have nothing to press.
using System;
using Assets.Scripts.Actors.Player;
using Assets.Scripts.Inventory__Items__Pickups.Interactables;
using HarmonyLib;
using Metabonk.Core;
using Rewired;
using UnityEngine;

namespace Metabonk.Game
{
    [HarmonyPatch(typeof(PlayerInput))]
    public sealed class Controls
    {
        const float PitchMost = 89;

        // What the patch puts in place of the person's stick.
        static bool injecting;
        static float moveX, moveY;
        static float personX, personY;

        readonly MenuReader menus;
        readonly float lookDegreesPerSecond;
        readonly Action<string> log;
        DetectInteractables interactables;
        bool sliding, slideSaid;

        public Controls(MenuReader menus, float lookDegreesPerSecond, Action<string> log)
        {
            this.menus = menus;
            this.lookDegreesPerSecond = lookDegreesPerSecond;
            this.log = log;
        }

        [HarmonyPostfix]
        [HarmonyPatch(nameof(PlayerInput.MovementInput))]
        public static void AfterMovementInput(PlayerInput __instance)
        {
            personX = __instance.moveHorizontal;
            personY = __instance.moveVertical;
            if (!injecting) return;
            __instance.moveHorizontal = moveX;
            __instance.moveVertical = moveY;
            // Jumps are calls: what is held here would fill the game's own jump buffer again and
            // again.
            __instance.jumping = false;
            __instance.holdingJump = false;
        }

        public void Apply(PlayerAction action, float seconds)
        {
            injecting = true;
            moveX = action.MoveX;
            moveY = action.MoveY;
            if (action.ChosenWidget >= 0) menus.Press(action.ChosenWidget);
            else if (action.HasClick) menus.Click(action.ClickX, action.ClickY);
            MyPlayer player = MyPlayer.Instance;
            if (player == null || player.playerMovement == null || player.playerInput == null
                || !player.playerInput.CanInput())
                return;
            Look(player.playerInput, action, seconds);
            if (PlayerAction.Pressed(action.Jump)) player.playerMovement.Jump();
            Slide(player.playerMovement, PlayerAction.Pressed(action.Slide));
            if (PlayerAction.Pressed(action.Interact)) Interact();
        }

        void Look(PlayerInput input, PlayerAction action, float seconds)
        {
            if (action.LookX == 0 && action.LookY == 0) return;
            Vector3 wanted = input.desiredCameraRotation;
            float turn = lookDegreesPerSecond * seconds;
            float pitch = wanted.x - action.LookY * turn;  // Unity's pitch grows downward
            wanted.x = Math.Max(-PitchMost, Math.Min(PitchMost, pitch));
            wanted.y += action.LookX * turn;
            input.desiredCameraRotation = wanted;
        }

        void Slide(PlayerMovement movement, bool pressed)
        {
            if (pressed && !sliding && !Members.Call(movement, "StartSlide") && !slideSaid)
            {
                slideSaid = true;
                log("this version of the game has no PlayerMovement.StartSlide: slides are not injected");
            }
            if (!pressed && sliding) movement.StopSlide();
            sliding = pressed;
        }

        void Interact()
        {
            if (interactables == null)
                interactables = UnityEngine.Object.FindObjectOfType<DetectInteractables>();
            if (interactables != null) interactables.TryInteract();
        }

        public void Release()
        {
            injecting = false;
            moveX = moveY = 0;
            MyPlayer player = MyPlayer.Instance;
            if (sliding && player != null && player.playerMovement != null)
                player.playerMovement.StopSlide();
            sliding = false;
        }

        /// <summary>What the person does, also while an agent plays.</summary>
        public InputSnapshot Snapshot()
        {
            var seen = new InputSnapshot { MoveX = personX, MoveY = personY };
            if (!ReInput.isReady) return seen;
            Player person = ReInput.players.GetPlayer(0);
            if (person == null) return seen;
            seen.Interact = person.GetButton("Interact");
            seen.UiClick = person.GetButton("UISubmit");
            return seen;
        }
    }
}
