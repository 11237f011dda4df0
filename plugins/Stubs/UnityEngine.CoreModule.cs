// Our own stand-in for Unity's assemblies: the types and members that the plugins use, nothing
// else, with just enough behaviour to rehearse a game without Unity. Written from Unity's public
// documentation; compiled in tests and never shipped.
using System;
using System.Collections.Generic;
using Il2CppInterop.Runtime.InteropTypes.Arrays;

namespace UnityEngine
{
    public struct Vector2
    {
        public float x, y;
        public Vector2(float x, float y) { this.x = x; this.y = y; }
    }

    public struct Vector3
    {
        public float x, y, z;
        public Vector3(float x, float y, float z) { this.x = x; this.y = y; this.z = z; }
    }

    public struct Rect
    {
        public float x, y, width, height;
    }

    public class Object : Il2CppSystem.Object
    {
        static readonly List<Object> living = new List<Object>();
        static int last;
        readonly int id = ++last;
        bool destroyed;

        public Object() { living.Add(this); }
        public string name { get; set; }
        public int GetInstanceID() { return id; }

        public static void Destroy(Object target)
        {
            target.destroyed = true;
            living.Remove(target);
        }

        public static void DontDestroyOnLoad(Object target) { }

        public static Il2CppArrayBase<T> FindObjectsOfType<T>() where T : Object
        {
            var found = new List<T>();
            foreach (Object one in living)
            {
                var component = one as Component;
                if (one is T && (component == null || component.gameObject == null
                    || component.gameObject.activeInHierarchy))
                    found.Add((T)one);
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
        public T GetComponent<T>() where T : Object { return gameObject.GetComponent<T>(); }
        public T GetComponentInChildren<T>() where T
            : Object { return gameObject.GetComponent<T>(); }
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
        public void SetPositionAndRotation(Vector3 position,
            Quaternion rotation) { this.position = position; }
        public Quaternion rotation { get; set; }
    }

    public struct Quaternion
    {
        public float x, y, z, w;
    }

    public class RectTransform : Transform
    {
        /// <summary>In pixels from the bottom left, as overlay canvases have it.</summary>
        public Rect Pixels;

        public void GetWorldCorners(Il2CppStructArray<Vector3> corners)
        {
            corners[0] = new Vector3(Pixels.x, Pixels.y, 0);
            corners[1] = new Vector3(Pixels.x, Pixels.y + Pixels.height, 0);
            corners[2] = new Vector3(Pixels.x + Pixels.width, Pixels.y + Pixels.height, 0);
            corners[3] = new Vector3(Pixels.x + Pixels.width, Pixels.y, 0);
        }
    }

    public static class RectTransformUtility
    {
        public static Vector2 WorldToScreenPoint(Camera camera,
            Vector3 point) { return new Vector2(point.x, point.y); }
    }

    public class GameObject : Object
    {
        readonly List<Object> components = new List<Object>();
        bool active = true;

        public GameObject() : this("") { }
        public GameObject(string name)
        {
            this.name = name;
            transform = new Transform { gameObject = this };
        }

        public Transform transform { get; private set; }
        public bool activeInHierarchy { get { return active; } }
        public void SetActive(bool value) { active = value; }

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
    }

    public class Texture : Object
    {
        public int width { get; set; }
        public int height { get; set; }
    }

    public enum RenderTextureFormat { ARGB32 = 0 }
    public enum TextureFormat { RGB24 = 3, RGBA32 = 4 }

    public class RenderTexture : Texture
    {
        /// <summary>RGBA, bottom row first: what a camera drew last.</summary>
        public byte[] Drawn;

        public RenderTexture(int width, int height, int depth, RenderTextureFormat format)
        {
            this.width = width;
            this.height = height;
            Drawn = new byte[width * height * 4];
        }

        public bool Create() { return true; }
        public void Release() { }
    }

    public class Camera : Behaviour
    {
        /// <summary>Draws a rehearsal's picture into a texture.</summary>
        public static Action<Camera, RenderTexture> Draw;

        public static Camera main { get; set; }
        public RenderTexture targetTexture { get; set; }
        public int cullingMask { get; set; }
        public void CopyFrom(Camera other) { cullingMask = other.cullingMask; }
        public void Render() { if (Draw != null) Draw(this, targetTexture); }
    }

    public enum RenderMode { ScreenSpaceOverlay = 0, ScreenSpaceCamera = 1, WorldSpace = 2 }

    public class Canvas : Behaviour
    {
        public RenderMode renderMode { get; set; }
        public Camera worldCamera { get; set; }
        public float planeDistance { get; set; }
        public bool isRootCanvas { get { return true; } }
    }

    public static class Time
    {
        public static float deltaTime { get; set; }
        public static float timeScale { get; set; }
        public static float captureDeltaTime { get; set; }
        public static float fixedDeltaTime { get; set; }
        public static int frameCount { get; set; }
    }

    public static class Screen
    {
        public static int width { get; set; }
        public static int height { get; set; }
    }

    public static class Random
    {
        public static int Seeded;
        public static void InitState(int seed) { Seeded = seed; }
    }

    public static class SystemInfo
    {
        public static bool supportsAsyncGPUReadback { get { return true; } }
    }
}

namespace UnityEngine.Rendering
{
    public struct AsyncGPUReadbackRequest
    {
        internal byte[] Bytes;
        internal int Due;
        internal IntPtr Pinned;

        /// <summary>Frames that a picture takes from the GPU in a rehearsal.</summary>
        public static int Delay = 2;

        public bool done { get { return UnityEngine.Time.frameCount >= Due; } }
        public bool hasError { get { return false; } }
        public int width { get { return 0; } }
        public int layerDataSize { get { return Bytes.Length; } }
        public void WaitForCompletion() { Due = 0; }

        public IntPtr GetDataRaw(int layer)
        {
            // A rehearsal's leak: pictures are few and small.
            IntPtr memory = System.Runtime.InteropServices.Marshal.AllocHGlobal(Bytes.Length);
            System.Runtime.InteropServices.Marshal.Copy(Bytes, 0, memory, Bytes.Length);
            return memory;
        }
    }

    public static class AsyncGPUReadback
    {
        public static AsyncGPUReadbackRequest Request(UnityEngine.Texture source, int mipIndex,
            UnityEngine.TextureFormat format, Il2CppSystem.Action<AsyncGPUReadbackRequest> callback)
        {
            var texture = (UnityEngine.RenderTexture)source;
            return new AsyncGPUReadbackRequest { Bytes = (byte[])texture.Drawn.Clone(),
                Due = UnityEngine.Time.frameCount + AsyncGPUReadbackRequest.Delay };
        }
    }
}

namespace UnityEngine.SceneManagement
{
    public struct Scene
    {
        public string name { get; set; }
    }

    public static class SceneManager
    {
        public static Scene Active;
        public static Scene GetActiveScene() { return Active; }
    }
}

namespace UnityEngine.Events
{
    public class UnityEvent
    {
        public event System.Action Invoked;
        public void Invoke() { if (Invoked != null) Invoked(); }
    }
}
