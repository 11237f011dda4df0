// Our own stand-in for the IL2CPP side's own basic types.
namespace Il2CppSystem
{
    public class Type
    {
        public string Name { get; set; }
    }

    public class Object : Il2CppInterop.Runtime.InteropTypes.Il2CppObjectBase
    {
        public Type GetIl2CppType() { return new Type { Name = GetType().Name }; }
    }

    public class Action<T>
    {
    }
}

namespace Il2CppSystem.Collections.Generic
{
    public class List<T> : System.Collections.Generic.List<T>
    {
    }

    public class Dictionary<TKey, TValue> : System.Collections.Generic.Dictionary<TKey, TValue>
    {
    }
}
