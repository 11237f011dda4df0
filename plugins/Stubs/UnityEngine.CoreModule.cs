// Our own stand-in for Unity's assemblies: the types and members that the plugins use, nothing
// else, with just enough behaviour to rehearse a game without Unity. Written from Unity's public
// documentation; compiled in tests and never shipped.
//
// Objects, components and where they hang are in UnityEngine.CoreModule.Objects.cs.
using System;

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
        public static Vector3 operator +(Vector3 a, Vector3 b) { return new Vector3(a.x + b.x,
            a.y + b.y, a.z + b.z); }
        public static Vector3 operator -(Vector3 a, Vector3 b) { return a + b * -1; }
        public static Vector3 operator *(Vector3 a, float by) { return new Vector3(a.x * by,
            a.y * by, a.z * by); }
        public static float Dot(Vector3 a, Vector3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
    }

    public struct Rect
    {
        public float x, y, width, height;
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

        // What it draws on, and half of what it sees of it at a distance of 1: 60 degrees from top
        // to bottom.
        float Width { get { return targetTexture != null ? targetTexture.width : Screen.width; } }
        float Height { get { return targetTexture != null ? targetTexture.height
            : Screen.height; } }
        static readonly float half = (float)Math.Tan(Math.PI / 6);

        /// <summary>Where in the world a pixel lies, from the bottom left, so far
        /// away.</summary>
        internal Vector3 PointAt(float x, float y, float distance)
        {
            float along = (2 * x / Width - 1) * half * Width / Height * distance, above =
                (2 * y / Height - 1) * half * distance;
            Vector3 right, up, forward, at = transform.position;
            transform.Axes(out right, out up, out forward);
            return at + right * along + up * above + forward * distance;
        }

        /// <summary>On which pixel from the bottom left a place in the world is drawn.</summary>
        internal Vector2 PixelOf(Vector3 place)
        {
            Vector3 right, up, forward, to = place - transform.position;
            transform.Axes(out right, out up, out forward);
            float distance = Vector3.Dot(to, forward);
            return new Vector2((Vector3.Dot(to, right) / distance / half * Height / Width + 1) / 2
                * Width, (Vector3.Dot(to, up) / distance / half + 1) / 2 * Height);
        }
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

        /// <summary>Whether the GPU loses those that are read from now on.</summary>
        public static bool Lost;

        public bool done { get { return UnityEngine.Time.frameCount >= Due; } }
        public bool hasError { get { return Lost; } }
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
