// What each instruction demands of its views, integers and numbers. Knows nothing of running them.
#pragma once

#include "nn/program.h"

namespace metabonk::nn {

// Ok if the instruction can be run on any numbers without leaving its memory.
Status CheckInstruction(const Instruction& instruction, const Program& program);

}  // namespace metabonk::nn
