// Ctrl-C as a question to be asked between steps, so that work stops where it can go on later.
#pragma once

namespace cairn {

/// From now on SIGINT and SIGTERM set a flag; a second one ends the process as usual.
void CatchInterrupts();
bool Interrupted();

}  // namespace cairn
