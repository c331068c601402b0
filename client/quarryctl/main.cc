#include <iostream>

#include "client/quarryctl/commands.h"

int main(int argc, char** argv) {
  return quarry::ctl::RunQuarryctl(argc, argv, std::cout, std::cerr);
}
