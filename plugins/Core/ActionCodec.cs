// Actions on the wire: v1's 20 or 28 bytes and v2's answered sequence and row of 12 float32.
using System;

namespace Metabonk.Core
{
    public static class ActionCodec
    {
        public const int Version1Bytes = 20, Version1ClickBytes = 28, Version2Bytes = 8
            + 4 * PlayerAction.Columns;

        /// <summary> v1, without the length before it. Clicks are pixels of the captured picture
        /// from the bottom left; without a picture's size there is no click. v1 has no jump, slide
        /// or choice. </summary>
        public static void WriteVersion1(PlayerAction action, int width, int height, ByteWriter to)
        {
            bool click = action.HasClick && width > 0 && height > 0;
            to.F32(action.MoveX);
            to.F32(action.MoveY);
            to.F32(action.LookX);
            to.F32(action.LookY);
            to.U8(PlayerAction.Pressed(action.Fire));
            to.U8(PlayerAction.Pressed(action.Ability));
            to.U8(PlayerAction.Pressed(action.Interact));
            to.U8(click);
            if (!click) return;
            to.I32(Pixel(action.ClickX, width));
            to.I32(height - 1 - Pixel(action.ClickY, height));
        }

        static int Pixel(float place, int size)
        {
            // Rounded to float32 as the other end does.
            return (int)Math.Max(0.0, Math.Min(size - 1,
                Math.Floor((float)((double)place * size))));
        }

        public static PlayerAction ReadVersion1(byte[] bytes, int offset, int count, int width,
            int height)
        {
            var from = new ByteReader(bytes, offset, count);
            PlayerAction action = PlayerAction.Idle;
            action.MoveX = from.F32("moveX");
            action.MoveY = from.F32("moveY");
            action.LookX = from.F32("aimX");
            action.LookY = from.F32("aimY");
            action.Fire = from.U8("fire") != 0 ? 1 : 0;
            action.Ability = from.U8("ability") != 0 ? 1 : 0;
            action.Interact = from.U8("interact") != 0 ? 1 : 0;
            if (from.U8("uiClick") == 0) return action;
            int x = from.I32("clickX"), y = from.I32("clickY");
            if (width <= 0 || height <= 0) return action;
            action.ClickX = Middle(x, width);
            action.ClickY = Middle(height - 1 - Math.Max(0, Math.Min(height - 1, y)), height);
            return action;
        }

        /// <summary>The middle of a pixel; what lies outside of the picture counts as its
        /// edge.</summary>
        static float Middle(int pixel, int size)
        {
            return (float)((Math.Max(0, Math.Min(size - 1, pixel)) + 0.5) / size);
        }

        public static void WriteVersion2(PlayerAction action, ulong answers, ByteWriter to)
        {
            to.U64(answers);
            to.F32(action.MoveX);
            to.F32(action.MoveY);
            to.F32(action.LookX);
            to.F32(action.LookY);
            to.F32(action.Jump);
            to.F32(action.Slide);
            to.F32(action.Interact);
            to.F32(action.Fire);
            to.F32(action.Ability);
            to.F32(action.Choice);
            to.F32(action.ClickX);
            to.F32(action.ClickY);
        }

        public static PlayerAction ReadVersion2(byte[] bytes, int offset, int count,
            out ulong answers)
        {
            var from = new ByteReader(bytes, offset, count);
            answers = from.U64("action.answers");
            var action = new PlayerAction { MoveX = from.F32("action"),
                MoveY = from.F32("action") };
            action.LookX = from.F32("action");
            action.LookY = from.F32("action");
            action.Jump = from.F32("action");
            action.Slide = from.F32("action");
            action.Interact = from.F32("action");
            action.Fire = from.F32("action");
            action.Ability = from.F32("action");
            action.Choice = from.F32("action");
            action.ClickX = from.F32("action");
            action.ClickY = from.F32("action");
            return action;
        }
    }
}
