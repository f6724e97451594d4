/* Starts the runtime client in any image.
 *
 * An image's LD_PRELOAD or PYTHONHOME is meant for the image's programs and would break the
 * client's Python, so the client starts without such variables. Each is kept under the name
 * TETHER_ENV_<name>, from which the client gives it back to the programs that it starts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PYTHON "/opt/tether/bin/python3"
#define KEPT "TETHER_ENV_"

static const char *const PREFIXES[] = {"LD_", "PYTHON", "OPENSSL_", "GLIBC_", "MALLOC_", NULL};
static const char *const NAMES[] = {"GCONV_PATH=", "LOCPATH=", NULL};

static int starts_with(const char *text, const char *const *starts)
{
    for (; *starts; starts++)
        if (strncmp(text, *starts, strlen(*starts)) == 0)
            return 1;
    return 0;
}

static char *kept(const char *variable)
{
    char *renamed = malloc(sizeof KEPT + strlen(variable));
    if (!renamed) {
        perror("tether-runtime-client: out of memory");
        exit(126);
    }
    return strcat(strcpy(renamed, KEPT), variable);
}

int main(int argc, char **argv, char **envp)
{
    char **args = calloc(argc + 5, sizeof *args);
    int i, n = 0;

    if (!args) {
        perror("tether-runtime-client: out of memory");
        return 126;
    }
    args[n++] = PYTHON;
    args[n++] = "-I";
    args[n++] = "-m";
    args[n++] = "tether_runtime_client";
    for (i = 1; i < argc; i++)
        args[n++] = argv[i];
    for (i = 0; envp[i]; i++)
        if (starts_with(envp[i], PREFIXES) || starts_with(envp[i], NAMES))
            envp[i] = kept(envp[i]);
    execve(PYTHON, args, envp);
    perror("tether-runtime-client: " PYTHON);
    return 127;
}
