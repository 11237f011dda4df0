// JpegEncoder: raw pictures into baseline JPEGs (ITU T.81) with the standard's own Huffman tables,
// chroma at half resolution. Runs on any thread, needs no Unity; knows no wire.
using System;

namespace Metabonk.Core
{
    public sealed class JpegEncoder
    {
        // Annex K.1: what the eye forgives, for quality 50; K.3: code lengths and symbols.
        static readonly byte[] lumaQuant =
        {
            16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57,
                69, 56,
            14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81,
                104, 113, 92,
            49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
        };
        static readonly byte[] chromaQuant =
        {
            17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
                99, 99,
            47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
                99, 99,
            99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        };
        static readonly byte[] zigzag =
        {
            0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34,
                27, 20, 13, 6, 7, 14, 21, 28,
            35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31,
                39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
        };
        static readonly byte[] dcLumaBits = { 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0 };
        static readonly byte[] dcChromaBits = { 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0 };
        static readonly byte[] dcSymbols = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
        static readonly byte[] acLumaBits = { 0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d };
        static readonly byte[] acChromaBits = { 0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77 };
        static readonly byte[] acLumaSymbols = Hex(
            "0102030004110512213141061351610722711432819 1a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a" +
            "434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aa" +
            "b2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa");
        static readonly byte[] acChromaSymbols = Hex(
            "0001020311040521310612415107617113223281081442 91a1b1c109233352f0156272d10a162434e125f11718191a262728292a35363738393a" +
            "434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aa" +
            "b2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa");
        static readonly Codes dcLuma = new Codes(dcLumaBits, dcSymbols), dcChroma =
            new Codes(dcChromaBits, dcSymbols);
        static readonly Codes acLuma = new Codes(acLumaBits, acLumaSymbols), acChroma =
            new Codes(acChromaBits, acChromaSymbols);

        readonly byte[] lumaTable = new byte[64], chromaTable = new byte[64];
        readonly float[] lumaScale = new float[64], chromaScale = new float[64];
        readonly float[] block = new float[64], luma = new float[256], cb = new float[64], cr =
            new float[64];
        byte[] to;
        int count, bitCount;
        uint bits;

        /// <summary>quality: 1 coarse .. 100 fine, as libjpeg counts.</summary>
        public JpegEncoder(int quality)
        {
            if (quality < 1 || quality > 100)
                throw new ArgumentOutOfRangeException("quality", quality, "1..100 is wanted");
            int scale = quality < 50 ? 5000 / quality : 200 - quality * 2;
            // The scale factors of Arai, Agui and Nakajima's transform go into the divisors.
            var aan = new double[] { 1, 1.387039845, 1.306562965, 1.175875602, 1, 0.785694958,
                0.541196100, 0.275899379 };
            for (int i = 0; i < 64; ++i)
            {
                lumaTable[i] = (byte)Math.Max(1, Math.Min(255, (lumaQuant[i] * scale + 50) / 100));
                chromaTable[i] = (byte)Math.Max(1, Math.Min(255,
                    (chromaQuant[i] * scale + 50) / 100));
                double factor = aan[i / 8] * aan[i % 8] * 8;
                lumaScale[i] = (float)(1 / (lumaTable[i] * factor));
                chromaScale[i] = (float)(1 / (chromaTable[i] * factor));
            }
        }

        /// <summary>Makes `jpeg` the upright picture of a raw one.</summary>
        public void Encode(Frame frame, Frame jpeg)
        {
            if (frame.Format == PixelFormat.Jpeg)
                throw new ArgumentException("is a JPEG already", "frame");
            // More than any picture takes: 16 bits a coefficient, stuffed.
            int room = 1024 + (frame.Width + 16) * (frame.Height + 16) * 6;
            if (jpeg.Pixels.Length < room) jpeg.Pixels = new byte[room];
            to = jpeg.Pixels;
            count = bitCount = 0;
            bits = 0;
            WriteHeaders(frame.Width, frame.Height);
            WriteBlocks(frame);
            Put(0x7F, 7);  // the last byte is filled up with ones
            bitCount = 0;
            Word(0xFFD9);
            jpeg.Format = PixelFormat.Jpeg;
            jpeg.RowOrder = RowOrder.TopDown;
            jpeg.Width = frame.Width;
            jpeg.Height = frame.Height;
            jpeg.Stride = 0;
            jpeg.Bytes = count;
            jpeg.CaptureNs = frame.CaptureNs;
            jpeg.Step = frame.Step;
        }

        void WriteHeaders(int width, int height)
        {
            Word(0xFFD8);
            Word(0xFFE0);  // JFIF 1.1, square pixels
            Bytes(0, 16, (byte)'J', (byte)'F', (byte)'I', (byte)'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0);
            Word(0xFFDB);
            Word(2 + 2 * 65);
            Table(0, lumaTable);
            Table(1, chromaTable);
            Word(0xFFC0);
            Word(17);
            Bytes(8, (byte)(height >> 8), (byte)height, (byte)(width >> 8), (byte)width, 3, 1,
                0x22, 0, 2, 0x11, 1, 3, 0x11, 1);
            Word(0xFFC4);
            Word(2 + 4 * 17 + 2 * 12 + 2 * 162);
            Huffman(0x00, dcLumaBits, dcSymbols);
            Huffman(0x10, acLumaBits, acLumaSymbols);
            Huffman(0x01, dcChromaBits, dcSymbols);
            Huffman(0x11, acChromaBits, acChromaSymbols);
            Word(0xFFDA);
            Bytes(0, 12, 3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0);
        }

        // Sixteen by sixteen pixels at a time: four blocks of luma, one of each chroma.
        void WriteBlocks(Frame frame)
        {
            int lastLuma = 0, lastCb = 0, lastCr = 0;
            for (int y = 0; y < frame.Height; y += 16)
            {
                for (int x = 0; x < frame.Width; x += 16)
                {
                    Load(frame, x, y);
                    for (int quarter = 0; quarter < 4; ++quarter)
                    {
                        int begin = (quarter >> 1) * 128 + (quarter & 1) * 8;
                        for (int i = 0; i < 64; ++i)
                            block[i] = luma[begin + (i >> 3) * 16 + (i & 7)];
                        lastLuma = WriteBlock(block, lumaScale, lastLuma, dcLuma, acLuma);
                    }
                    lastCb = WriteBlock(cb, chromaScale, lastCb, dcChroma, acChroma);
                    lastCr = WriteBlock(cr, chromaScale, lastCr, dcChroma, acChroma);
                }
            }
        }

        // BT.601 in full range; beyond the picture its last row and column go on.
        void Load(Frame frame, int left, int top)
        {
            Array.Clear(cb, 0, 64);
            Array.Clear(cr, 0, 64);
            byte[] pixels = frame.Pixels;
            int channels = frame.Channels;
            for (int i = 0; i < 16; ++i)
            {
                int row = Math.Min(top + i, frame.Height - 1);
                if (frame.RowOrder == RowOrder.BottomUp) row = frame.Height - 1 - row;
                int line = row * frame.Stride;
                for (int j = 0; j < 16; ++j)
                {
                    int at = line + Math.Min(left + j, frame.Width - 1) * channels;
                    float r = pixels[at], g = pixels[at + 1], b = pixels[at + 2];
                    luma[i * 16 + j] = 0.299f * r + 0.587f * g + 0.114f * b - 128;
                    int small = (i >> 1) * 8 + (j >> 1);
                    cb[small] += 0.25f * (-0.168736f * r - 0.331264f * g + 0.5f * b);
                    cr[small] += 0.25f * (0.5f * r - 0.418688f * g - 0.081312f * b);
                }
            }
        }

        int WriteBlock(float[] samples, float[] scale, int last, Codes dc, Codes ac)
        {
            for (int i = 0; i < 8; ++i) Transform(samples, i * 8, 1);
            for (int i = 0; i < 8; ++i) Transform(samples, i, 8);
            int first = Round(samples[0] * scale[0]);
            Coefficient(first - last, 0, dc);
            int zeros = 0;
            for (int i = 1; i < 64; ++i)
            {
                int at = zigzag[i], value = Round(samples[at] * scale[at]);
                if (value == 0)
                {
                    ++zeros;
                    continue;
                }
                for (; zeros > 15; zeros -= 16) Put(ac.Code[0xF0], ac.Size[0xF0]);
                Coefficient(value, zeros, ac);
                zeros = 0;
            }
            if (zeros > 0) Put(ac.Code[0], ac.Size[0]);
            return first;
        }

        // Kept within what the tables have codes for.
        static int Round(float value) { return Math.Max(-1023,
            Math.Min(1023, (int)(value + (value < 0 ? -0.5f : 0.5f)))); }

        void Coefficient(int value, int zeros, Codes codes)
        {
            int size = 0, magnitude = value < 0 ? -value : value;
            while (magnitude >> size != 0) ++size;
            int symbol = zeros << 4 | size;
            Put(codes.Code[symbol], codes.Size[symbol]);
            if (size > 0) Put((uint)(value < 0 ? value - 1 : value) & ((1u << size) - 1), size);
        }

        /// <summary>Eight samples into eight scaled frequencies (Arai, Agui, Nakajima
        /// 1988).</summary>
        static void Transform(float[] v, int at, int step)
        {
            int a1 = at + step, a2 = a1 + step, a3 = a2 + step, a4 = a3 + step, a5 = a4 + step,
                a6 = a5 + step, a7 = a6 + step;
            float t0 = v[at] + v[a7], t7 = v[at] - v[a7], t1 = v[a1] + v[a6], t6 = v[a1] - v[a6];
            float t2 = v[a2] + v[a5], t5 = v[a2] - v[a5], t3 = v[a3] + v[a4], t4 = v[a3] - v[a4];
            float e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;
            v[at] = e0 + e1;
            v[a4] = e0 - e1;
            float z1 = (e2 + e3) * 0.707106781f;
            v[a2] = e3 + z1;
            v[a6] = e3 - z1;
            float o0 = t4 + t5, o1 = t5 + t6, o2 = t6 + t7;
            float z5 = (o0 - o2) * 0.382683433f, z2 = 0.541196100f * o0 + z5, z4 =
                1.306562965f * o2 + z5, z3 = o1 * 0.707106781f;
            float z11 = t7 + z3, z13 = t7 - z3;
            v[a5] = z13 + z2;
            v[a3] = z13 - z2;
            v[a1] = z11 + z4;
            v[a7] = z11 - z4;
        }

        void Put(uint value, int size)
        {
            bits = bits << size | value;
            for (bitCount += size; bitCount >= 8; bitCount -= 8)
            {
                byte next = (byte)(bits >> (bitCount - 8));
                to[count++] = next;
                if (next == 0xFF) to[count++] = 0;
            }
        }

        void Word(int value) { Bytes((byte)(value >> 8), (byte)value); }

        void Bytes(params byte[] values)
        {
            foreach (byte value in values) to[count++] = value;
        }

        void Table(byte number, byte[] table)
        {
            to[count++] = number;
            foreach (byte at in zigzag) to[count++] = table[at];
        }

        void Huffman(byte number, byte[] lengths, byte[] symbols)
        {
            to[count++] = number;
            Bytes(lengths);
            Bytes(symbols);
        }

        static byte[] Hex(string text)
        {
            text = text.Replace(" ", "");
            var bytes = new byte[text.Length / 2];
            for (int i = 0; i < bytes.Length; ++i)
                bytes[i] = Convert.ToByte(text.Substring(2 * i, 2), 16);
            return bytes;
        }

        /// <summary>Canonical Huffman codes (annex C): symbol -> code and its number of
        /// bits.</summary>
        sealed class Codes
        {
            public readonly uint[] Code = new uint[256];
            public readonly byte[] Size = new byte[256];

            public Codes(byte[] lengths, byte[] symbols)
            {
                uint code = 0;
                for (int size = 1, next = 0; size <= 16; ++size, code <<= 1)
                {
                    for (int i = 0; i < lengths[size - 1]; ++i, ++next, ++code)
                    {
                        Code[symbols[next]] = code;
                        Size[symbols[next]] = (byte)size;
                    }
                }
            }
        }
    }
}
