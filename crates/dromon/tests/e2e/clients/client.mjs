// What users of @kubernetes/client-node do: an informer that keeps up with changes.

import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const namespace = 'default';
const list = () => core.listNamespacedConfigMap({ namespace });
const informer = k8s.makeInformer(config, '/api/v1/namespaces/default/configmaps', list);

const seen = [];
const done = new Promise((resolve, reject) => {
  for (const event of ['add', 'update', 'delete']) {
    informer.on(event, (object) => {
      if (object.metadata.name !== 'js') return;
      seen.push(`${event} ${object.data?.a}`);
      if (event === 'delete') resolve();
    });
  }
  informer.on('error', reject);
});
await informer.start();
const body = { metadata: { name: 'js' }, data: { a: '1' } };
const made = await core.createNamespacedConfigMap({ namespace, body });
made.data.a = '2';
await core.replaceNamespacedConfigMap({ namespace, name: 'js', body: made });
await core.deleteNamespacedConfigMap({ namespace, name: 'js' });
await done;
await informer.stop();
const expected = 'add 1, update 2, delete 2';
if (seen.join(', ') !== expected) throw new Error(`seen: ${seen.join(', ')}; expected: ${expected}`);
console.log('ok');
