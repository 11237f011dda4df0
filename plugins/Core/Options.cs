// Options: settings in the format of BepInEx's configuration files: [Section], key = value,
// comments after # or ##. Knows the format and the types of values; which settings there are is in
// BonkLinkOptions and ResearchOptions. A file that cannot be used is said, never half used.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Text;

namespace Metabonk.Core
{
    /// <summary>A setting that cannot be used; the message names it, what was got and what is
    /// wanted.</summary>
    public sealed class OptionException : Exception
    {
        public OptionException(string message) : base(message) { }
    }

    /// <summary>One setting: where it stands, what it means, its value as text.</summary>
    public sealed class Option
    {
        public readonly string Section, Key, Help, Type, Default, Accepts;
        readonly Action<string> set;

        public Option(string section, string key, string type, string @default, string accepts,
            string help, Action<string> set)
        {
            Section = section;
            Key = key;
            Type = type;
            Default = @default;
            Accepts = accepts;
            Help = help;
            this.set = set;
        }

        public void Set(string value)
        {
            try
            {
                set(value);
            }
            catch (FormatException)
            {
                throw new OptionException("[" + Section + "] " + Key + " = " + value + ": "
                    + Accepts + " is wanted");
            }
        }
    }

    /// <summary>The settings of one plugin.</summary>
    public abstract class Options
    {
        readonly List<Option> options = new List<Option>();

        /// <summary>Whether the plugin is to do anything at all.</summary>
        public bool Enabled;

        public IList<Option> All { get { return options; } }

        /// <summary>Lines that were understood but name no setting, by Parse.</summary>
        public readonly List<string> Unknown = new List<string>();

        protected void Text(string section, string key, string initial, string help,
            Action<string> set)
        {
            Add(section, key, "String", initial, "a text", help, set);
        }

        protected void Flag(string section, string key, bool initial, string help, Action<bool> set)
        {
            Add(section, key, "Boolean", initial ? "true" : "false", "true or false", help,
                delegate(string text)
            {
                bool value;
                if (!bool.TryParse(text, out value)) throw new FormatException();
                set(value);
            });
        }

        protected void Whole(string section, string key, int initial, int least, int most,
            string help, Action<int> set)
        {
            Add(section, key, "Int32", initial.ToString(CultureInfo.InvariantCulture),
                "a whole number " + least + ".." + most, help, delegate(string text)
            {
                int value;
                if (!int.TryParse(text, NumberStyles.AllowLeadingSign,
                    CultureInfo.InvariantCulture, out value) || value < least || value > most)
                    throw new FormatException();
                set(value);
            });
        }

        protected void Number(string section, string key, float initial, float least, float most,
            string help, Action<float> set)
        {
            Func<float, string> show =
                delegate(float value) { return value.ToString(CultureInfo.InvariantCulture); };
            Add(section, key, "Single", show(initial), "a number " + show(least) + ".."
                + show(most), help, delegate(string text)
            {
                float value;
                if (!float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture,
                    out value) || !(value >= least && value <= most))
                    throw new FormatException();
                set(value);
            });
        }

        protected void Choice(string section, string key, string initial, string[] names,
            string help, Action<string> set)
        {
            Add(section, key, "String", initial, string.Join(" | ", names), help,
                delegate(string text)
            {
                string value = Array.Find(names,
                    delegate(string name) { return string.Equals(name, text,
                    StringComparison.OrdinalIgnoreCase); });
                if (value == null) throw new FormatException();
                set(value);
            });
        }

        void Add(string section, string key, string type, string initial, string accepts,
            string help, Action<string> set)
        {
            var option = new Option(section, key, type, initial, accepts, help, set);
            option.Set(initial);
            options.Add(option);
        }

        /// <summary>
        /// Takes the settings of a file's text; those that it lacks keep their defaults. Throws
        /// OptionException at the first that cannot be used, and then nothing has changed but by
        /// settings before it.
        /// </summary>
        public void Parse(string text)
        {
            string section = "";
            int number = 0;
            foreach (string raw in text.Split('\n'))
            {
                ++number;
                string line = raw.Trim().TrimStart('\uFEFF');
                if (line.Length == 0 || line[0] == '#') continue;
                if (line[0] == '[' && line[line.Length - 1] == ']')
                {
                    section = line.Substring(1, line.Length - 2).Trim();
                    continue;
                }
                int equals = line.IndexOf('=');
                if (equals < 0)
                    throw new OptionException("line " + number + ": '" + line
                        + "' is neither [Section] nor key = value");
                string key = line.Substring(0, equals).Trim(), value =
                    line.Substring(equals + 1).Trim();
                Option option = Find(section, key);
                if (option == null) Unknown.Add("[" + section + "] " + key);
                else option.Set(value);
            }
        }

        Option Find(string section, string key)
        {
            return options.Find(delegate(Option o)
            {
                return string.Equals(o.Section, section, StringComparison.OrdinalIgnoreCase)
                    && string.Equals(o.Key, key, StringComparison.OrdinalIgnoreCase);
            });
        }

        /// <summary>A whole file with the defaults, as BepInEx writes them.</summary>
        public string Defaults()
        {
            var text = new StringBuilder();
            text.Append("## Settings of MetaBonk's plugin; delete a line to get its default back.\n");
            string section = null;
            foreach (Option option in options)
            {
                if (option.Section != section)
                    text.Append("\n[").Append(section = option.Section).Append("]\n");
                text.Append("\n## ").Append(option.Help).Append('\n');
                text.Append("# Setting type: ").Append(option.Type).Append('\n');
                text.Append(("# Default value: " + option.Default).TrimEnd()).Append('\n');
                text.Append("# Acceptable values: ").Append(option.Accepts).Append('\n');
                text.Append(option.Key).Append(" =").Append(option.Default.Length > 0 ? " "
                    : "").Append(option.Default).Append('\n');
            }
            return text.ToString();
        }

        /// <summary>Reads the file, or writes the defaults where there is none.</summary>
        public void Load(string path)
        {
            if (File.Exists(path))
            {
                try
                {
                    Parse(File.ReadAllText(path));
                }
                catch (OptionException error)
                {
                    throw new OptionException(path + ": " + error.Message);
                }
                return;
            }
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path)));
            File.WriteAllText(path, Defaults());
        }
    }
}
