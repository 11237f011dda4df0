// FrameConverter: raw pictures into the format that the other end takes. Copies bytes; knows no GPU
// and no wire.
using System;

namespace Metabonk.Core
{
    public static class FrameConverter
    {
        /// <summary>`from` as rows of RGB without gaps, in the order asked for.</summary>
        public static unsafe void ToRgb(Frame from, RowOrder order, Frame to)
        {
            if (from.Format == PixelFormat.Jpeg)
                throw new ArgumentException("a JPEG is not decoded here", "from");
            to.ReserveRaw(PixelFormat.Rgb, order, from.Width, from.Height);
            to.CaptureNs = from.CaptureNs;
            to.Step = from.Step;
            bool flip = from.RowOrder != order;
            fixed (byte* read = from.Pixels, write = to.Pixels)
            {
                for (int row = 0; row < from.Height; ++row)
                {
                    byte* source = read + (long)(flip ? from.Height - 1 - row : row) * from.Stride;
                    byte* target = write + (long)row * to.Stride;
                    if (from.Format == PixelFormat.Rgb)
                        Buffer.MemoryCopy(source, target, to.Stride, to.Stride);
                    else DropAlpha(source, target, from.Width);
                }
            }
        }

        static unsafe void DropAlpha(byte* source, byte* target, int pixels)
        {
            for (int i = 0; i < pixels; ++i, source += 4, target += 3)
            {
                target[0] = source[0];
                target[1] = source[1];
                target[2] = source[2];
            }
        }
    }
}
