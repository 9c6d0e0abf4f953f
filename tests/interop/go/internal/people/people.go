// Package people holds what the client programs store: instances, their schemas, identities.
package people

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"

	"github.com/alecthomas/jsonschema"
	"github.com/libp2p/go-libp2p-core/crypto"
	"github.com/textileio/go-threads/core/thread"
	"github.com/textileio/go-threads/util"
)

// Person is an instance as a typical program declares it.
type Person struct {
	ID   string `json:"_id"`
	Name string `json:"name,omitempty"`
	Age  int    `json:"age,omitempty"`
	Mod  int64  `json:"_mod,omitempty"`
}

// Schema is what a typical program derives from its type: draft 4, with `$ref` and `definitions`.
func Schema() *jsonschema.Schema {
	return util.SchemaFromInstance(&Person{}, false)
}

// StrictSchema names its draft, and what is required and how large it may be.
func StrictSchema() *jsonschema.Schema {
	return util.SchemaFromSchemaString(`{
		"$schema": "http://json-schema.org/draft-07/schema#",
		"title": "Person",
		"type": "object",
		"properties": {
			"_id": {"type": "string"},
			"name": {"type": "string", "minLength": 1},
			"age": {"type": "integer", "minimum": 0}
		},
		"required": ["_id", "name"]
	}`)
}

// OpenSchema lets every field be anything, except the ID.
func OpenSchema() *jsonschema.Schema {
	return util.SchemaFromSchemaString(`{
		"type": "object",
		"properties": {
			"_id": {"type": "string"},
			"name": {"type": "string"},
			"age": {"type": "number"},
			"member": {"type": "boolean"},
			"address": {"type": "object", "properties": {"city": {"type": "string"}}},
			"tags": {"type": "array", "items": {"type": "string"}}
		}
	}`)
}

// Identity returns a fresh random Ed25519 identity.
func Identity() thread.Identity {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		panic(err)
	}
	return thread.NewLibp2pIdentity(key)
}

// Liar is an identity whose signatures are good for nothing.
type Liar struct{ thread.Identity }

// Sign signs something else than it was asked to.
func (l Liar) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return l.Identity.Sign(ctx, append([]byte("not "), message...))
}

// Mute is an identity that cannot sign at all.
type Mute struct{ thread.Identity }

// Sign fails.
func (Mute) Sign(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("no signature")
}

// JSON is a text that goes out as it is.
func JSON(text string) json.RawMessage {
	return json.RawMessage(text)
}

// NewThread returns a fresh random thread ID.
func NewThread() thread.ID {
	return thread.NewIDV1(thread.Raw, 32)
}
