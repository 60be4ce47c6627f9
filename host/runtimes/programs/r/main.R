# The R runtime: one R that runs what it is given, cell by cell, and keeps its state. host/runtimes/r.ts starts it and says how it is asked; what it answers
# is in host/runtimes/runtime.ts. Nothing may follow the last line: code that reads stdin() would read it.
local({
  runtime <- new.env(parent = .BaseNamespaceEnv)
  for (part in c("json", "channel", "failures", "plots", "tables", "cells", "requests")) {
    sys.source(file.path("/caisson/runtimes/r", paste0(part, ".R")), runtime)
  }
  runtime$serve()
})
