// Our own stand-in for BepInEx 6: what the plugins use of it. Log lines are kept for rehearsals.
using System;
using System.Collections.Generic;

namespace BepInEx
{
    [AttributeUsage(AttributeTargets.Class)]
    public class BepInPlugin : Attribute
    {
        public readonly string GUID, Name, Version;
        public BepInPlugin(string guid, string name, string version)
        {
            GUID = guid;
            Name = name;
            Version = version;
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public class BepInProcess : Attribute
    {
        public readonly string ProcessName;
        public BepInProcess(string processName) { ProcessName = processName; }
    }

    public static class Paths
    {
        public static string ConfigPath { get; set; }
        public static string PluginPath { get; set; }
    }
}

namespace BepInEx.Logging
{
    public class ManualLogSource
    {
        public readonly List<string> Lines = new List<string>();
        public void LogInfo(object data) { Lines.Add("info " + data); }
        public void LogWarning(object data) { Lines.Add("warning " + data); }
        public void LogError(object data) { Lines.Add("error " + data); }
    }
}

namespace BepInEx.Unity.IL2CPP
{
    public abstract class BasePlugin
    {
        readonly BepInEx.Logging.ManualLogSource log = new BepInEx.Logging.ManualLogSource();
        public readonly UnityEngine.GameObject Holder =
            new UnityEngine.GameObject("BepInEx_Manager");
        public BepInEx.Logging.ManualLogSource Log { get { return log; } }
        public abstract void Load();
        public virtual bool Unload() { return false; }
        public T AddComponent<T>() where T
            : UnityEngine.Component { return Holder.AddComponent<T>(); }
    }
}
