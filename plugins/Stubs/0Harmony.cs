// Our own stand-in for Harmony: attributes, and patches that the stand-in of the game calls itself.
// A patch of a method that does not exist is an error, as it is in Harmony.
using System;
using System.Collections.Generic;
using System.Reflection;

namespace HarmonyLib
{
    [AttributeUsage(AttributeTargets.Class | AttributeTargets.Method, AllowMultiple = true)]
    public class HarmonyPatch : Attribute
    {
        public readonly Type Target;
        public readonly string Method;
        public HarmonyPatch() { }
        public HarmonyPatch(Type target) { Target = target; }
        public HarmonyPatch(string method) { Method = method; }
        public HarmonyPatch(Type target, string method)
        {
            Target = target;
            Method = method;
        }
    }

    public class HarmonyPrefix : Attribute { }
    public class HarmonyPostfix : Attribute { }

    public class HarmonyMethod
    {
        public readonly MethodInfo method;
        public HarmonyMethod(MethodInfo method) { this.method = method; }
        public HarmonyMethod(Type type, string name) : this(AccessTools.Method(type, name)) { }
    }

    public static class AccessTools
    {
        const BindingFlags All =
            BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;

        /// <summary>Names of types that a rehearsal's version of the game does not have.</summary>
        public static readonly HashSet<string> Absent = new HashSet<string>();

        public static Type TypeByName(string name)
        {
            if (Absent.Contains(name)) return null;
            foreach (Assembly assembly in AppDomain.CurrentDomain.GetAssemblies())
            {
                Type found = assembly.GetType(name);
                if (found != null) return found;
            }
            return null;
        }

        public static MethodInfo Method(Type type, string name) { return type.GetMethod(name,
            All); }

        public static List<MethodInfo> GetDeclaredMethods(Type type)
        {
            return new List<MethodInfo>(type.GetMethods(All | BindingFlags.DeclaredOnly));
        }
    }

    public class Harmony
    {
        struct Patched
        {
            public string By;
            public MethodBase Key;
            public MethodInfo Value;
        }

        static readonly List<Patched> prefixes = new List<Patched>(), postfixes =
            new List<Patched>();
        readonly string id;

        public Harmony(string id) { this.id = id; }

        public void Patch(MethodBase original, HarmonyMethod prefix = null,
            HarmonyMethod postfix = null)
        {
            if (original == null) throw new ArgumentNullException("original");
            if (prefix != null)
                prefixes.Add(new Patched { By = id, Key = original, Value = prefix.method });
            if (postfix != null)
                postfixes.Add(new Patched { By = id, Key = original, Value = postfix.method });
        }

        public void UnpatchSelf()
        {
            prefixes.RemoveAll(delegate(Patched patch) { return patch.By == id; });
            postfixes.RemoveAll(delegate(Patched patch) { return patch.By == id; });
        }

        public void PatchAll(Type type)
        {
            Type target = null;
            foreach (HarmonyPatch mark in type.GetCustomAttributes(typeof(HarmonyPatch), false))
                target = mark.Target ?? target;
            foreach (MethodInfo method in type.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
            {
                foreach (HarmonyPatch mark in method.GetCustomAttributes(typeof(HarmonyPatch),
                    false))
                {
                    Type owner = mark.Target ?? target;
                    MethodInfo original = AccessTools.Method(owner, mark.Method);
                    if (original == null)
                        throw new ArgumentException(owner + " has no " + mark.Method);
                    if (method.IsDefined(typeof(HarmonyPrefix), false))
                        Patch(original, new HarmonyMethod(method));
                    if (method.IsDefined(typeof(HarmonyPostfix), false))
                        Patch(original, null, new HarmonyMethod(method));
                }
            }
        }

        /// <summary>What a patched method does around its own body.</summary>
        public static object Call(object instance, MethodBase original, object[] arguments,
            Func<object> body)
        {
            bool run = true;
            foreach (Patched patch in prefixes)
                if (patch.Key == original && Invoke(patch.Value, instance, original, arguments,
                    null) is bool && !lastAnswer)
                    run = false;
            object result = run ? body() : null;
            foreach (Patched patch in postfixes)
                if (patch.Key == original)
                    Invoke(patch.Value, instance, original, arguments, result);
            return result;
        }

        static bool lastAnswer;

        static object Invoke(MethodInfo patch, object instance, MethodBase original,
            object[] arguments, object result)
        {
            ParameterInfo[] wanted = patch.GetParameters();
            var given = new object[wanted.Length];
            ParameterInfo[] names = original.GetParameters();
            for (int i = 0; i < wanted.Length; ++i)
            {
                if (wanted[i].Name == "__instance") given[i] = instance;
                else if (wanted[i].Name == "__result") given[i] = result;
                else if (wanted[i].Name == "__originalMethod") given[i] = original;
                else
                {
                    int at = Array.FindIndex(names,
                        delegate(ParameterInfo p) { return p.Name == wanted[i].Name; });
                    if (at < 0)
                        throw new ArgumentException(patch + ": " + original + " has no parameter "
                            + wanted[i].Name);
                    given[i] = arguments[at];
                }
            }
            object answer = patch.Invoke(null, given);
            lastAnswer = !(answer is bool) || (bool)answer;
            return answer;
        }
    }
}
