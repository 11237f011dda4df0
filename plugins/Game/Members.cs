// Members: numbers and calls of the game's classes that no public mod names for certain. They are
// looked up by name while the game runs; what this version of the game lacks is 0, and said once.
// Everything that is certain is bound when the plugin is compiled instead.
using System;
using System.Collections.Generic;
using System.Reflection;

namespace Metabonk.Game
{
    public static class Members
    {
        const BindingFlags Any = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static;

        static readonly Dictionary<Type, Dictionary<string, MemberInfo>> known =
            new Dictionary<Type, Dictionary<string, MemberInfo>>();

        /// <summary>Names that were wanted and are not there.</summary>
        public static readonly HashSet<string> Missing = new HashSet<string>();

        public static Action<string> Log = delegate { };

        /// <summary>A number of `owner`, which may be null; 0 where there is none.</summary>
        public static float Number(object owner, string name)
        {
            if (owner == null) return 0;
            MemberInfo member = Find(owner.GetType(), name);
            object value = null;
            var property = member as PropertyInfo;
            if (property != null) value = property.GetValue(owner, null);
            var field = member as FieldInfo;
            if (field != null) value = field.GetValue(owner);
            return value is IConvertible ? Convert.ToSingle(value) : 0;
        }

        /// <summary>Calls a method without arguments; whether there is one.</summary>
        public static bool Call(object owner, string name)
        {
            if (owner == null) return false;
            var method = Find(owner.GetType(), name) as MethodInfo;
            if (method == null || method.GetParameters().Length != 0) return false;
            method.Invoke(owner, null);
            return true;
        }

        static MemberInfo Find(Type type, string name)
        {
            Dictionary<string, MemberInfo> ofType;
            if (!known.TryGetValue(type, out ofType))
                known[type] = ofType = new Dictionary<string, MemberInfo>();
            MemberInfo member;
            if (ofType.TryGetValue(name, out member)) return member;
            member = (MemberInfo)type.GetProperty(name, Any) ?? (MemberInfo)type.GetField(name,
                Any) ?? type.GetMethod(name, Any, null, Type.EmptyTypes, null);
            ofType[name] = member;
            if (member == null && Missing.Add(type.FullName + "." + name))
                Log("this version of the game has no " + type.FullName + "." + name
                    + ": it stays 0");
            return member;
        }
    }
}
