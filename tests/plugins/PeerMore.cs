using System.Collections.Generic;
static partial class Peer { static int More(string c, List<string> r) { throw new System.ArgumentException("command: " + c); } }
