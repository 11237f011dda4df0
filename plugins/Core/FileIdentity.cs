// FileIdentity: which file lies under a name or is open, of what kind it is, and whose. Two that
// are equal are one and the same file, whatever happened to its names. Knows Linux; elsewhere, and
// so for a game under Wine, it cannot be seen.
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

namespace Metabonk.Core
{
    struct FileIdentity
    {
        const int Here = -100, NoFollow = 0x100, TheOpenOne = 0x1000;  // AT_FDCWD and its flags
        const uint Everything = 0x7FF;                                 // STATX_BASIC_STATS
        const int Kinds = 0xF000, Plain = 0x8000, Link = 0xA000, OthersRights = 0x3F;

        // struct statx, which is the same on every processor, as struct stat is not.
        [StructLayout(LayoutKind.Explicit, Size = 256)]
        struct Facts
        {
            [FieldOffset(20)] public uint Owner;
            [FieldOffset(28)] public ushort Mode;
            [FieldOffset(32)] public ulong Number;
            [FieldOffset(136)] public uint DeviceMajor;
            [FieldOffset(140)] public uint DeviceMinor;
        }

        [DllImport("libc", EntryPoint = "statx")]
        static extern int Look(int folder, byte[] path, int flags, uint wanted, out Facts facts);

        [DllImport("libc", EntryPoint = "geteuid")]
        static extern uint Ourselves();

        Facts facts;

        /// <summary>Of what lies under a name, a link itself and not what it leads to; null where
        /// there is nothing, or it cannot be seen.</summary>
        public static FileIdentity? Of(string path)
        {
            return Of(Here, Encoding.UTF8.GetBytes(path + "\0"), NoFollow);
        }

        public static FileIdentity? Of(FileStream file)
        {
            if (Path.DirectorySeparatorChar != '/') return null;
            int descriptor = file.SafeFileHandle.DangerousGetHandle().ToInt32();
            return Of(descriptor, new byte[1], TheOpenOne);
        }

        static FileIdentity? Of(int folder, byte[] path, int flags)
        {
            if (Path.DirectorySeparatorChar != '/') return null;
            try
            {
                var seen = new FileIdentity();
                return Look(folder, path, flags, Everything, out seen.facts) == 0 ? seen
                    : (FileIdentity?)null;
            }
            catch (Exception error) when (error is EntryPointNotFoundException
                || error is DllNotFoundException)
            {
                return null;  // a Unix that has no such call
            }
        }

        public bool Is(FileIdentity other)
        {
            return facts.Number == other.facts.Number
                && facts.DeviceMajor == other.facts.DeviceMajor
                && facts.DeviceMinor == other.facts.DeviceMinor;
        }

        /// <summary>Whether anybody but its owner may do anything with it.</summary>
        public bool OpenToOthers { get { return (facts.Mode & OthersRights) != 0; } }

        /// <summary>Why it is no file to share, and what to do; empty if it is one.</summary>
        public string Refusal
        {
            get
            {
                int kind = facts.Mode & Kinds;
                if (kind == Link)
                    return "it is a symbolic link, which is not followed: remove it, or choose another name";
                if (kind != Plain)
                    return "it is no plain file: remove it, or choose another name";
                return facts.Owner == Ourselves() ? ""
                    : "it belongs to another user: choose another name";
            }
        }
    }
}
