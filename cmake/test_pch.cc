// Carries the precompiled headers that all test binaries share.
int main() { return 0; }
