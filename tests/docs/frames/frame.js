const { Client, PrivateKey, ThreadID } = require('@textile/hub')

async function main() {
  const key = 'KEY'
  const secret = 'SECRET'
  BLOCK
  await client.getToken(PrivateKey.fromRandom())
  const thread = ThreadID.fromRandom()
  await client.newDB(thread, 'library')
  await client.newCollection(thread, { name: 'people', schema: { type: 'object', properties: { _id: { type: 'string' } } } })
  await client.create(thread, 'people', [{ _id: 'a', name: 'Ada' }])
  console.log((await client.findByID(thread, 'people', 'a')).name)
  process.exit(0)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
