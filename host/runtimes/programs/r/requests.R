# Requests, one after another. An interrupt is told twice: by name on the channel, and right after that by SIGINT, which R keeps while nothing runs.

LEAST_SEED_DIGITS <- 7L
MERSENNE_TWISTER <- 3L

executions <- 0L
main_result <- NULL
# The last run that SIGINT ended.
interrupted_run <- ""
# A signal may be waiting that was meant for a run that is over.
is_signal_late <- FALSE

serve <- function() {
  options(device = open_device)
  say(type = json_text("ready"))
  suspendInterrupts(repeat {
    fields <- next_request()
    switch(fields[[1L]],
      run = run(fields[[2L]], fields[[3L]], fields[-(1:3)]),
      interrupt = if (fields[[2L]] != interrupted_run) is_signal_late <<- TRUE,
      renew = renew(fields[[2L]]),
      quit("no", 1L)
    )
  })
}

run <- function(id, code, more) {
  executions <<- executions + 1L
  main_result <<- NULL
  if (is_signal_late) tryCatch(allowInterrupts(Sys.sleep(0.001)), interrupt = function(condition) NULL)
  is_signal_late <<- FALSE
  groups <- as.integer(more[[1L]])
  pairs <- matrix(more[seq.int(2L, length.out = 2L * groups)], nrow = 2L)
  task <- more[-seq_len(1L + 2L * groups)]
  undo <- set_variables(pairs[1L, ], pairs[2L, ])
  is_program <- task[[1L]] == "program"
  exit <- if (is_program) program(code, task[[2L]], task[-(1:3)]) else run_cell(id, code)
  if (exit == INTERRUPTED) interrupted_run <<- id
  undo()
  say(type = json_text("end"), id = id, executionCount = executions, exitCode = if (is_program) exit)
}

run_cell <- function(id, code) {
  failure <- cell(id, code)
  for (png in shown_plots()) say(type = json_text("result"), id = id, result = json_object(png = json_texts(png), isMainResult = "false"))
  if (is.null(failure)) {
    if (!is.null(main_result)) say(type = json_text("result"), id = id, result = main_result$result, exact = main_result$exact)
  } else {
    say(type = json_text("error"), id = id, error = do.call(json_object, lapply(failure, json_text)))
  }
  if (identical(failure$name, "KeyboardInterrupt")) INTERRUPTED else 0L
}

# Gives what undoes it.
set_variables <- function(names, values) {
  if (length(names) == 0L) return(function() NULL)
  before <- Sys.getenv(names, unset = NA, names = TRUE)
  do.call(Sys.setenv, as.list(stats::setNames(values, names)))
  function() {
    Sys.unsetenv(names[is.na(before)])
    if (!all(is.na(before))) do.call(Sys.setenv, as.list(before[!is.na(before)]))
  }
}

# In a process that goes on from the memory of another: other numbers than that one will draw. The seed has 28 bits of this; the kind of generator that R
# has unless told otherwise gets all of its state from the kernel, which has been renewed.
renew <- function(seed) {
  set.seed(strtoi(substr(seed, 1L, LEAST_SEED_DIGITS), 16L))
  state <- get(".Random.seed", globalenv())
  if (state[[1L]] %% 100L != MERSENNE_TWISTER) return()
  kernel <- file("/dev/urandom", "rb", raw = TRUE)
  on.exit(close(kernel))
  state[-(1:2)] <- readBin(kernel, "integer", length(state) - 2L)
  assign(".Random.seed", state, globalenv())
}
