// Ctrl-C as a question to be asked between steps, so that work stops where it can go on later.
#pragma once

namespace cairn {

/// From now on SIGINT and SIGTERM set a flag; a second one ends the process as usual. Calls of the
/// system that have begun go on after the first: only AwaitInput ends.
void CatchInterrupts();
bool Interrupted();

/// Waits until reading `fd` would not wait: there is something, its end or an error. False if a
/// signal that is caught came before.
bool AwaitInput(int fd);

}  // namespace cairn
