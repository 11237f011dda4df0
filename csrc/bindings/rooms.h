// The functions that add each room's submodule, one per file of this folder.
#pragma once

#include <nanobind/nanobind.h>

namespace metabonk::bindings {

void BindSupport(nanobind::module_& core);
void BindRecords(nanobind::module_& core);
void BindLevel(nanobind::module_& core);
void BindReplay(nanobind::module_& core);
void BindArena(nanobind::module_& core);
void BindGrid64(nanobind::module_& core);
void BindNn(nanobind::module_& core);
void BindVideo(nanobind::module_& core);
void BindMotion(nanobind::module_& core);
void BindPlay(nanobind::module_& core);
void BindSurroundings(nanobind::module_& core);
void BindLink(nanobind::module_& core);
void BindLinkEnds(nanobind::module_& link);     // a part of link
void BindResearchShm(nanobind::module_& core);  // a part of ipc
void BindFrameRing(nanobind::module_& core);    // likewise
// Parts of nn, added by BindNn.
void BindAdam(nanobind::module_& nn);
void BindCfc(nanobind::module_& nn);
void BindPeaks(nanobind::module_& nn);
void BindVq(nanobind::module_& nn);
void BindReturns(nanobind::module_& nn);
void BindSurrogate(nanobind::module_& nn);
void BindMerge(nanobind::module_& nn);
void BindQLinear(nanobind::module_& nn);
void BindRssm(nanobind::module_& nn);
void BindPolicy(nanobind::module_& nn);

}  // namespace metabonk::bindings
