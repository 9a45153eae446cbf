/* The other side of the rpc benchmark: what a program on libvirt's own client library does, one call after the other.
 * For each line of input one round: open, list with XML and state, close. Compiled by rpc.ts. */
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    char line[64];
    if (argc != 2)
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        double start = now_ms(), opened, listed;
        virDomainPtr *domains = NULL;
        size_t xml_length = 0;
        long states = 0;
        int count;
        virConnectPtr connection = virConnectOpen(argv[1]);
        if (!connection)
            return 1;
        opened = now_ms();
        count = virConnectListAllDomains(connection, &domains, 0);
        if (count < 0)
            return 1;
        for (int i = 0; i < count; i++) {
            int state, reason;
            char *xml = virDomainGetXMLDesc(domains[i], 0);
            if (!xml || virDomainGetState(domains[i], &state, &reason, 0) < 0)
                return 1;
            xml_length += strlen(xml);
            states += state;
            free(xml);
        }
        listed = now_ms();
        for (int i = 0; i < count; i++)
            virDomainFree(domains[i]);
        free(domains);
        virConnectClose(connection);
        printf("{\"domains\":%d,\"xmlLength\":%zu,\"states\":%ld,\"openMs\":%.3f,\"listMs\":%.3f}\n", count, xml_length, states,
               opened - start, listed - opened);
        fflush(stdout);
    }
    return 0;
}
