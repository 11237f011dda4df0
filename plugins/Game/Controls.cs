// Controls: an agent's action into the game: moves after the game has read the person's stick (a
// postfix on PlayerInput.MovementInput), jump, slide and interact by the game's own methods,
// turning by the camera rotation it wants, menus by pressing buttons. Weapons fire by themselves:
// fire and ability have nothing to press. What the person does is PersonReader's.
using System;
using Assets.Scripts.Actors.Player;
using Assets.Scripts.Inventory__Items__Pickups.Interactables;
using HarmonyLib;
using Metabonk.Core;
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

        readonly MenuReader menus;
        readonly PersonReader person;
        readonly float lookDegreesPerSecond;
        readonly Action<string> log;
        DetectInteractables interactables;
        bool sliding, slideSaid;

        public Controls(MenuReader menus, PersonReader person, float lookDegreesPerSecond,
            Action<string> log)
        {
            this.menus = menus;
            this.person = person;
            this.lookDegreesPerSecond = lookDegreesPerSecond;
            this.log = log;
        }

        [HarmonyPostfix]
        [HarmonyPatch(nameof(PlayerInput.MovementInput))]
        public static void AfterMovementInput(PlayerInput __instance)
        {
            PersonReader.Stick(__instance.moveHorizontal, __instance.moveVertical);
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
            Vector3 before = input.desiredCameraRotation, wanted = before;
            float turn = lookDegreesPerSecond * seconds;
            float pitch = wanted.x - action.LookY * turn;  // Unity's pitch grows downward
            wanted.x = Math.Max(-PitchMost, Math.Min(PitchMost, pitch));
            wanted.y += action.LookX * turn;
            input.desiredCameraRotation = wanted;
            person.AgentTurned(wanted.x - before.x, wanted.y - before.y);
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
    }
}
