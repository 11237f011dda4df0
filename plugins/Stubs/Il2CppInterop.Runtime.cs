// Our own stand-in for Il2CppInterop: arrays of the IL2CPP side, injected classes, threads.
using System;

namespace Il2CppInterop.Runtime.InteropTypes
{
    public class Il2CppObjectBase
    {
        public T TryCast<T>() where T : Il2CppObjectBase { return this as T; }
    }
}

namespace Il2CppInterop.Runtime.InteropTypes.Arrays
{
    public class Il2CppArrayBase<T>
    {
        readonly T[] items;
        public Il2CppArrayBase(T[] items) { this.items = items; }
        public int Length { get { return items.Length; } }
        public T this[int index] { get { return items[index]; } set { items[index] = value; } }
    }

    public class Il2CppStructArray<T> : Il2CppArrayBase<T> where T : struct
    {
        public Il2CppStructArray(long size) : base(new T[size]) { }
    }

    public class Il2CppReferenceArray<T> : Il2CppArrayBase<T>
    {
        public Il2CppReferenceArray(T[] items) : base(items) { }
    }
}

namespace Il2CppInterop.Runtime.Attributes
{
    [AttributeUsage(AttributeTargets.Method | AttributeTargets.Property)]
    public class HideFromIl2CppAttribute : Attribute
    {
    }
}

namespace Il2CppInterop.Runtime.Injection
{
    public static class ClassInjector
    {
        public static readonly System.Collections.Generic.List<Type> Registered =
            new System.Collections.Generic.List<Type>();

        public static void RegisterTypeInIl2Cpp<T>() where T : class
        {
            if (typeof(T).GetConstructor(new[] { typeof(IntPtr) }) == null)
                throw new InvalidOperationException(typeof(T)
                    + " needs a constructor that takes an IntPtr");
            if (!Registered.Contains(typeof(T))) Registered.Add(typeof(T));
        }
    }
}

namespace Il2CppInterop.Runtime
{
    public static class IL2CPP
    {
        public static IntPtr il2cpp_domain_get() { return new IntPtr(1); }
        public static IntPtr il2cpp_thread_attach(IntPtr domain) { return new IntPtr(2); }
    }
}
