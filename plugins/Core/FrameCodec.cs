// Frames on the wire: v1's JPEG or MBRF and v2's header before the pixels. Knows what is around the
// pixels; JpegEncoder makes JPEGs.
using System;

namespace Metabonk.Core
{
    /// <summary>Values are v2's on the wire.</summary>
    public enum PixelFormat : byte { Rgb = 1, Rgba = 2, Jpeg = 16 }

    public enum RowOrder : byte { TopDown = 0, BottomUp = 1 }

    /// <summary>A picture in memory of its own, which is made once and filled again and
    /// again.</summary>
    public sealed class Frame
    {
        public PixelFormat Format = PixelFormat.Rgb;
        public RowOrder RowOrder = RowOrder.TopDown;
        public int Width, Height;
        public int Stride;  // bytes from row to row; 0 for JPEG
        public byte[] Pixels = new byte[0];
        public int Bytes;  // of Pixels that count; 0: no picture
        public long CaptureNs;
        public ulong Step;

        public bool IsEmpty { get { return Bytes == 0; } }
        public int Channels { get { return Format == PixelFormat.Rgba ? 4 : 3; } }

        /// <summary>Makes room for `bytes` bytes, what was in it is lost.</summary>
        public void Reserve(int bytes)
        {
            if (Pixels.Length < bytes) Pixels = new byte[bytes];
            Bytes = bytes;
        }

        /// <summary>Room for raw rows without gaps.</summary>
        public void ReserveRaw(PixelFormat format, RowOrder order, int width, int height)
        {
            if (width < 1 || height < 1 || width > Wire.FrameSideMax || height > Wire.FrameSideMax)
                throw new ArgumentOutOfRangeException("width", width + " x " + height
                    + " is no frame's size");
            Format = format;
            RowOrder = order;
            Width = width;
            Height = height;
            Stride = width * Channels;
            Reserve(checked(Stride * height));
        }

        public void CopyTo(Frame to)
        {
            to.Reserve(Bytes);
            to.Format = Format;
            to.RowOrder = RowOrder;
            to.Width = Width;
            to.Height = Height;
            to.Stride = Stride;
            to.CaptureNs = CaptureNs;
            to.Step = Step;
            Buffer.BlockCopy(Pixels, 0, to.Pixels, 0, Bytes);
        }
    }

    public static class FrameCodec
    {
        public const int HeaderBytes = 16;

        /// <summary>Bytes of a frame in v1 or v2.</summary>
        public static int Size(Frame frame, int version)
        {
            if (version == Wire.Version2) return HeaderBytes + frame.Bytes;
            return frame.Format == PixelFormat.Jpeg ? frame.Bytes : HeaderBytes
                + frame.Width * frame.Channels * frame.Height;
        }

        /// <summary>v1: a JPEG as it is, raw rows from the bottom up.</summary>
        public static void WriteVersion1(Frame frame, ByteWriter to)
        {
            if (frame.Format == PixelFormat.Jpeg)
            {
                to.Raw(frame.Pixels, 0, frame.Bytes);
                return;
            }
            to.U32(Wire.TagFrame);
            to.I32(frame.Width);
            to.I32(frame.Height);
            to.I32(frame.Channels);
            int row = frame.Width * frame.Channels;
            for (int i = 0; i < frame.Height; ++i)
            {
                int from = frame.RowOrder == RowOrder.BottomUp ? i : frame.Height - 1 - i;
                to.Raw(frame.Pixels, from * frame.Stride, row);
            }
        }

        public static void WriteVersion2(Frame frame, ByteWriter to)
        {
            to.U8((byte)frame.Format);
            to.U8((byte)frame.RowOrder);
            to.U16(0);
            to.U32((uint)frame.Width);
            to.U32((uint)frame.Height);
            to.U32((uint)frame.Stride);
            to.Raw(frame.Pixels, 0, frame.Bytes);
        }

        public static void ReadVersion1(byte[] bytes, int offset, int count, Frame frame)
        {
            var from = new ByteReader(bytes, offset, count);
            if (count >= HeaderBytes && from.U32("frame") == Wire.TagFrame)
            {
                int width = from.I32("frame.width"), height = from.I32("frame.height"), channels =
                    from.I32("frame.channels");
                if (channels != 3 && channels != 4)
                    throw new ProtocolException("frame.channels: " + channels
                        + ", 3 or 4 are wanted");
                CheckSize(width, height);
                if ((long)width * height * channels > from.Left)
                    throw new ProtocolException("frame: " + width + " x " + height + " x "
                        + channels + " do not fit in " + from.Left + " bytes");
                frame.ReserveRaw(channels == 4 ? PixelFormat.Rgba : PixelFormat.Rgb,
                    RowOrder.BottomUp, width, height);
                Buffer.BlockCopy(bytes, from.At, frame.Pixels, 0, frame.Bytes);
                return;
            }
            ReadJpeg(bytes, offset, count, frame);
        }

        public static void ReadVersion2(byte[] bytes, int offset, int count, Frame frame)
        {
            var from = new ByteReader(bytes, offset, count);
            byte format = from.U8("frame.format"), order = from.U8("frame.rowOrder");
            if (format != (byte)PixelFormat.Rgb && format != (byte)PixelFormat.Rgba
                && format != (byte)PixelFormat.Jpeg)
                throw new ProtocolException("frame.format: " + format + ", 1, 2 and 16 are known");
            if (order > 1)
                throw new ProtocolException("frame.rowOrder: " + order + ", 0 or 1 is wanted");
            from.Skip(2, "frame");
            uint width = from.U32("frame.width"), height = from.U32("frame.height"), stride =
                from.U32("frame.stride");
            if (format == (byte)PixelFormat.Jpeg)
            {
                ReadJpeg(bytes, from.At, from.Left, frame);
                return;
            }
            CheckSize(width, height);
            uint channels = format == (byte)PixelFormat.Rgba ? 4u : 3u;
            if (stride < width * channels || (ulong)stride * height > (ulong)from.Left)
                throw new ProtocolException("frame.stride: " + stride + " for " + width + " x "
                    + height + " pixels in " + from.Left + " bytes");
            frame.ReserveRaw((PixelFormat)format, (RowOrder)order, (int)width, (int)height);
            for (int i = 0; i < (int)height; ++i)
                Buffer.BlockCopy(bytes, from.At + i * (int)stride, frame.Pixels, i * frame.Stride,
                    frame.Stride);
        }

        static void CheckSize(long width, long height)
        {
            if (width < 1 || height < 1 || width > Wire.FrameSideMax || height > Wire.FrameSideMax)
                throw new ProtocolException("frame: " + width + " x " + height + ", sides are 1.."
                    + Wire.FrameSideMax);
        }

        static void ReadJpeg(byte[] bytes, int offset, int count, Frame frame)
        {
            int width, height;
            JpegSize(bytes, offset, count, out width, out height);
            frame.Format = PixelFormat.Jpeg;
            frame.RowOrder = RowOrder.TopDown;
            frame.Width = width;
            frame.Height = height;
            frame.Stride = 0;
            frame.Reserve(count);
            Buffer.BlockCopy(bytes, offset, frame.Pixels, 0, count);
        }

        /// <summary>Width and height from a JPEG's first frame header.</summary>
        public static void JpegSize(byte[] bytes, int offset, int count, out int width,
            out int height)
        {
            int at = offset, end = offset + count;
            if (count < 4 || bytes[at] != 0xFF || bytes[at + 1] != 0xD8)
                throw new ProtocolException("frame: neither MBRF nor a JPEG");
            at += 2;
            while (at + 4 <= end && bytes[at] == 0xFF)
            {
                byte marker = bytes[at + 1];
                if (marker == 0xFF)
                {
                    ++at;  // fill bytes
                    continue;
                }
                int length = bytes[at + 2] << 8 | bytes[at + 3];
                bool frameHeader = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4
                    && marker != 0xC8 && marker != 0xCC;
                if (length < 2 || marker == 0xD9 || marker == 0xDA) break;
                if (frameHeader && at + 9 <= end)
                {
                    height = bytes[at + 5] << 8 | bytes[at + 6];
                    width = bytes[at + 7] << 8 | bytes[at + 8];
                    CheckSize(width, height);
                    return;
                }
                at += 2 + length;
            }
            throw new ProtocolException("frame: a JPEG without a frame header");
        }
    }
}
