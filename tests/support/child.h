// Work in a process of its own, which may die of it.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace quarry {

// The exit code, which is the work's result; below 0: the signal that ended it.
inline int InChild(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace quarry
