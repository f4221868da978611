import { useState } from 'preact/hooks'
import { post, remove } from '../api.js'
import { Field, Form } from '../forms.jsx'
import { Dialog, List, Page, Secret, Time, say, useSession, usePages } from '../parts.jsx'

const roles = { admin: 'everything', viewer: 'look at everything', producer: 'post events', metrics: 'the figures alone' }

export function Keys() {
  const session = useSession()
  const pages = usePages('/api/v1/keys', {}, {})
  const [dialog, open] = useState()
  const close = () => open(undefined)
  return <Page title="API keys" actions={<button type="button" class="primary" onClick={() => open({ make: true })}>New key</button>}>
    {session.auth === 'off' && <div class="banner"><p>Nobody is asked for a key here: keys made now count once <code>POSTHORN_AUTH</code> is <code>keys</code>.</p></div>}
    <List pages={pages} caption="API keys, newest first" empty={<p>There is no key yet.</p>} columns={[
      { name: 'Key', class: 'main', cell: k => <><code class="wrap">{k.id}</code>{k.id === session.key_id && <span class="quiet"> yours</span>}{k.description && <div class="quiet">{k.description}</div>}</> },
      { name: 'Role', cell: k => k.role },
      { name: 'Tenant', cell: k => k.tenant },
      { name: 'Made', cell: k => <Time at={k.created_at} /> },
      { name: 'Actions', head: <span class="unseen">Actions</span>, class: 'end', cell: k => <button type="button" class="danger" onClick={() => open({ revoke: k })} aria-label={'Revoke ' + k.id}>Revoke</button> },
    ]} />
    {dialog?.make && <Make onClose={() => { close(); pages.reload() }} />}
    {dialog?.revoke && <Dialog title="Revoke the key?" onClose={close}>
      <Form danger action="Revoke it" onCancel={close} submit={async () => { await remove('/api/v1/keys/' + dialog.revoke.id); say('The key is revoked.'); close(); pages.reload() }}>
        <p><code>{dialog.revoke.id}</code> {dialog.revoke.description}</p>
        <p>Whoever uses it is refused from now on, and 60 seconds from now at the latest.{dialog.revoke.id === session.key_id && <b> It is the key you are signed in with.</b>}</p>
      </Form>
    </Dialog>}
  </Page>
}

function Make({ onClose }) {
  const session = useSession()
  const [made, set] = useState()
  return <Dialog title="New API key" onClose={onClose}>
    {made
      ? <><Secret value={made.key} name="key">This is the key, of the role {made.role}. It is shown here and nowhere else.</Secret><div class="actions"><button type="button" class="primary" onClick={onClose}>Done</button></div></>
      : <Form action="Make the key" onCancel={onClose} fields={['role', 'tenant', 'description']} submit={async v => {
          set(await post('/api/v1/keys', { role: v.role, description: v.description, ...(v.tenant.trim() && { tenant: v.tenant.trim() }) }))
        }}>
        <Field name="role" label="Role" as="select">{Object.entries(roles).map(([r, may]) => <option value={r}>{r} – {may}</option>)}</Field>
        <Field name="tenant" label="Tenant" placeholder={session.tenant} hint="Another one begins with its first key." />
        <Field name="description" label="Description" placeholder="the shop" />
      </Form>}
  </Dialog>
}
