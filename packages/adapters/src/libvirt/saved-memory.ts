/** The driver of the SavedMemoryPort: the file in which libvirt holds the memory of a guest that was saved. */
import type { FilePort, SavedMemoryPort } from '@ferry/engine';
import { VIR_DOMAIN_XML, type HostSession } from '@ferry/libvirt';
import { savePath } from './state-places.ts';

export const savedMemoryOf = (session: HostSession, files: FilePort): SavedMemoryPort => ({
  read: (vm, signal) => session.savedImageXml(savePath(vm), VIR_DOMAIN_XML.SECURE, { signal }),
  async write(vm, xml, signal) {
    await session.savedImageDefine(savePath(vm), xml, 0, { signal });
  },
  async drop(uuid, signal) {
    const domain = await session.domainByUuid(uuid, { signal });
    if (await session.domainHasManagedSave(domain, { signal }))
      await session.domainManagedSaveRemove(domain, { signal });
    await files.remove(savePath(domain.name), signal);
  },
});
