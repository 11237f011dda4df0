// Our own stand-in for Unity's objects: what lives, which components it has, what it hangs below.
using System;
using System.Collections.Generic;
using Il2CppInterop.Runtime.InteropTypes.Arrays;

namespace UnityEngine
{
    public class Object : Il2CppSystem.Object
    {
        static readonly List<Object> living = new List<Object>();
        static int last;
        readonly int id = --last;  // Unity counts down what is made while a game runs
        bool destroyed;

        public Object() { living.Add(this); }
        public virtual string name { get; set; }
        public int GetInstanceID() { return id; }

        public static void Destroy(Object target)
        {
            target.destroyed = true;
            living.Remove(target);
        }

        public static void DontDestroyOnLoad(Object target) { }

        /// <summary>In no order that Unity promises: the youngest first, as by their
        /// ids.</summary>
        public static Il2CppArrayBase<T> FindObjectsOfType<T>() where T : Object
        {
            var found = new List<T>();
            for (int i = living.Count - 1; i >= 0; --i)
            {
                var one = living[i] as T;
                var component = living[i] as Component;
                if (one != null && (component == null || component.gameObject == null
                    || component.gameObject.activeInHierarchy))
                    found.Add(one);
            }
            return new Il2CppArrayBase<T>(found.ToArray());
        }

        public static T FindObjectOfType<T>() where T : Object
        {
            Il2CppArrayBase<T> found = FindObjectsOfType<T>();
            return found.Length > 0 ? found[0] : null;
        }

        static bool Gone(Object one) { return ReferenceEquals(one, null) || one.destroyed; }
        public static bool operator ==(Object a, Object b) { return Gone(a) && Gone(b)
            || ReferenceEquals(a, b); }
        public static bool operator !=(Object a, Object b) { return !(a == b); }
        public override bool Equals(object other) { return ReferenceEquals(this, other); }
        public override int GetHashCode() { return id; }
    }

    public class Component : Object
    {
        public GameObject gameObject { get; set; }
        public Transform transform { get { return gameObject.transform; } }
        public override string name { get { return gameObject.name; }
            set { gameObject.name = value; } }
        public T GetComponent<T>() where T : Object { return gameObject.GetComponent<T>(); }
    }

    public class Behaviour : Component
    {
        bool on = true;
        public bool enabled { get { return on; } set { on = value; } }
        public bool isActiveAndEnabled { get { return on && gameObject != null
            && gameObject.activeInHierarchy; } }
    }

    public class MonoBehaviour : Behaviour
    {
        public MonoBehaviour() { }
        public MonoBehaviour(IntPtr pointer) { }
    }

    public class Transform : Component
    {
        public Vector3 position { get; set; }
        public Vector3 eulerAngles { get; set; }
        public Quaternion rotation { get { return new Quaternion { Euler = eulerAngles }; }
            set { eulerAngles = value.Euler; } }
        public Transform parent { get { return gameObject.Above == null ? null
            : gameObject.Above.transform; } }

        public void SetParent(Transform above) { gameObject.HangBelow(above.gameObject); }

        public void SetPositionAndRotation(Vector3 position, Quaternion rotation)
        {
            this.position = position;
            this.rotation = rotation;
        }

        /// <summary>Of what it is turned to: x is pitch, which grows downward, and y is yaw, from
        /// north to east; nothing rolls.</summary>
        internal void Axes(out Vector3 right, out Vector3 up, out Vector3 forward)
        {
            double pitch = eulerAngles.x * Math.PI / 180, yaw = eulerAngles.y * Math.PI / 180;
            float sinPitch = (float)Math.Sin(pitch), cosPitch = (float)Math.Cos(pitch), sinYaw =
                (float)Math.Sin(yaw), cosYaw = (float)Math.Cos(yaw);
            right = new Vector3(cosYaw, 0, -sinYaw);
            up = new Vector3(sinYaw * sinPitch, cosPitch, cosYaw * sinPitch);
            forward = new Vector3(sinYaw * cosPitch, -sinPitch, cosYaw * cosPitch);
        }
    }

    /// <summary>In a rehearsal it is the angles that it is made of.</summary>
    public struct Quaternion
    {
        internal Vector3 Euler;
    }

    public class GameObject : Object
    {
        readonly List<Object> components = new List<Object>();
        readonly List<GameObject> below = new List<GameObject>();
        bool active = true;

        public GameObject() : this("") { }
        public GameObject(string name)
        {
            this.name = name;
            transform = new Transform { gameObject = this };
        }

        internal GameObject Above { get; private set; }
        public Transform transform { get; private set; }
        public bool activeInHierarchy { get { return active
            && (Above == null || Above.activeInHierarchy); } }
        public void SetActive(bool value) { active = value; }

        internal void HangBelow(GameObject above)
        {
            if (Above != null) Above.below.Remove(this);
            Above = above;
            above.below.Add(this);
        }

        public T AddComponent<T>() where T : Component
        {
            var made = (T)(typeof(T).GetConstructor(Type.EmptyTypes) != null
                ? Activator.CreateInstance(typeof(T)) : Activator.CreateInstance(typeof(T),
                IntPtr.Zero));
            return Add(made);
        }

        public T Add<T>(T made) where T : Component
        {
            made.gameObject = this;
            components.Add(made);
            var placed = made as RectTransform;
            if (placed != null) transform = placed;
            return made;
        }

        public T GetComponent<T>() where T : Object
        {
            foreach (Object one in components)
                if (one is T) return (T)one;
            return null;
        }

        /// <summary>Its own, or that of the nearest above it; of what is switched off
        /// none.</summary>
        public T GetComponentInParent<T>() where T : Object
        {
            for (GameObject at = this; at != null && activeInHierarchy; at = at.Above)
            {
                T found = at.GetComponent<T>();
                if (found != null) return found;
            }
            return null;
        }

        /// <summary>Its own first, then those below it, each before its own children; of what is
        /// switched off none.</summary>
        public Il2CppArrayBase<T> GetComponentsInChildren<T>() where T : Object
        {
            var found = new List<T>();
            Collect(found);
            return new Il2CppArrayBase<T>(found.ToArray());
        }

        void Collect<T>(List<T> found) where T : Object
        {
            if (!activeInHierarchy) return;
            foreach (Object one in components)
                if (one is T) found.Add((T)one);
            foreach (GameObject child in below) child.Collect(found);
        }
    }
}
