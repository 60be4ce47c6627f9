# What goes wrong in code, and what it warns of.

MOST_FRAMES <- 50L
WIDEST_CALL <- 200L
# What R itself does when asked for its standard warnings.
DEFERRED <- 0L

# All that is a user's runs in here: frames before it are ours.
in_user_code <- function(value) value

# How cells.R gets from there to what a user wrote.
OWN_CALLS <- list(
  quote(work()),
  quote(withVisible(eval(line, globalenv()))),
  quote(eval(line, globalenv())),
  quote(printed(shown)),
  quote(print(shown))
)
# How R gets from there to a handler, and before that from a warning to an error, where warnings are to be errors.
REPORTING <- list(list(by = quote(.handleSimpleError), frames = 1L), list(by = quote(.signalSimpleWarning), frames = 4L))

# Calls `work`. list(value = ...), or list(failure = ...). SIGINT counts in there and nowhere else.
guarded <- function(work) {
  calls <- list()
  failed <- function(condition) list(failure = failure_of(condition, calls))
  tryCatch(
    withRestarts(
      withCallingHandlers(
        list(value = allowInterrupts(in_user_code(work()))),
        error = function(condition) calls <<- users_calls(sys.calls()),
        warning = tell_warning
      ),
      abort = function() list(failure = stopped("Aborted"))
    ),
    error = failed,
    interrupt = function(condition) list(failure = stopped("KeyboardInterrupt"))
  )
}

# Of a stack that ends in a handler of ours.
users_calls <- function(calls) {
  own <- Position(function(number) identical(sys.function(number), in_user_code), seq_along(calls))
  calls <- calls[-seq_len(own)]
  calls <- calls[-length(calls)]
  while (length(calls) > 0L && is_own(calls[[1L]])) calls <- calls[-1L]
  for (reporting in REPORTING) {
    start <- length(calls) - reporting$frames + 1L
    if (start > 0L && identical(calls[[start]][[1L]], reporting$by)) calls <- calls[seq_len(start - 1L)]
  }
  calls
}

is_own <- function(call) any(vapply(OWN_CALLS, identical, NA, call))

stopped <- function(name) list(name = name, value = "", traceback = name)

failure_of <- function(condition, calls) {
  value <- message_of(condition)
  name <- class(condition)[[1L]]
  if (name %in% c("simpleError", "error")) name <- "Error"
  headline <- paste0("Error", where(condition), ": ", value)
  list(name = name, value = value, traceback = paste(c(headline, traceback_of(calls)), collapse = "\n"))
}

message_of <- function(condition) {
  value <- tryCatch(conditionMessage(condition), error = function(another) "")
  paste(value, collapse = "\n")
}

# " in f(x)"; nothing for what is called by a line of code itself.
where <- function(condition) {
  call <- conditionCall(condition)
  if (is.null(call) || is_own(call)) "" else paste0(" in ", shown_call(call))
}

shown_call <- function(call) substr(deparse(call, nlines = 1L)[[1L]], 1L, WIDEST_CALL)

traceback_of <- function(calls) {
  count <- length(calls)
  if (count == 0L) return(character())
  numbers <- if (count <= MOST_FRAMES) seq_len(count) else c(seq_len(MOST_FRAMES / 2L), seq(to = count, length.out = MOST_FRAMES / 2L))
  c("Traceback:", paste0(numbers, ". ", vapply(calls[numbers], shown_call, "")))
}

# R keeps warnings back until it asks for the next line itself, which it never does here.
tell_warning <- function(condition) {
  muffle <- findRestart("muffleWarning", condition)
  if (is.null(muffle) || !identical(as.integer(getOption("warn")), DEFERRED)) return()
  place <- sub("^ in ", "In ", where(condition))
  cat("Warning message:\n", place, if (place != "") " : ", message_of(condition), "\n", sep = "", file = stderr())
  invokeRestart(muffle)
}
