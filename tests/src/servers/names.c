/*
 * Lets a test say which addresses a name stands for, in one process that is started with this library in LD_PRELOAD.
 *
 * The file that DLOCK_NAMES names has a line for each name: the name, and its addresses in their order, with blanks
 * between. It is read at each look-up, so that whoever replaces the file moves the servers. Other names are looked up as
 * ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int one_by_one(lookup *real, char *addresses, const char *service, const struct addrinfo *hints,
                      struct addrinfo **found) {
  struct addrinfo **end = found;
  char *rest = addresses, *address;
  *found = NULL;
  while ((address = strtok_r(rest, " \n", &rest))) {
    if (real(address, service, hints, end) != 0) continue;
    while (*end) end = &(*end)->ai_next;
  }
  return *found ? 0 : EAI_NONAME;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  lookup *real = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
  const char *path = getenv("DLOCK_NAMES");
  FILE *file = node && path ? fopen(path, "r") : NULL;
  char line[1024];
  while (file && fgets(line, sizeof line, file)) {
    char *rest = line, *name = strtok_r(rest, " \n", &rest);
    if (!name || strcmp(name, node) != 0) continue;
    fclose(file);
    return one_by_one(real, rest, service, hints, found);
  }
  if (file) fclose(file);
  return real(node, service, hints, found);
}
