// The auth method that the contract is checked with, in Go: the same as tests/guests/login in Rust.
//
// `users/{name}` makes a user, `login/{name}`, open to everyone, lets them in. A renewal lets them go on for as long as the user
// exists. Passwords are stored as they are: this plugin is for tests.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

// user is what is stored of one.
type user struct {
	Password string   `json:"password"`
	Policies []string `json:"policies"`
	// TTL is in seconds; 0 means the mount's default.
	TTL int `json:"ttl"`
}

func main() {
	if err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: factory}); err != nil {
		log.Fatal(err)
	}
}

func factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	name := &framework.FieldSchema{Type: framework.TypeString, Description: "The user's name."}
	password := &framework.FieldSchema{Type: framework.TypeString, Description: "The user's password."}
	backend := &framework.Backend{
		BackendType:    logical.TypeCredential,
		RunningVersion: "v1.0.0",
		Help:           "Lets users in who know their password.",
		PathsSpecial:   &logical.Paths{Unauthenticated: []string{"login/*"}},
		AuthRenew:      renew,
		Paths: []*framework.Path{
			path("users/?", nil, operations{logical.ListOperation: list}),
			path("users/"+framework.GenericNameRegex("name"), schema{
				"name":     name,
				"password": password,
				// The lists of strings that there are would trim them.
				"policies": {Type: framework.TypeSlice, Description: "Policies of the user's tokens."},
				"ttl":      {Type: framework.TypeDurationSecond, Description: "How long a token lives."},
			}, operations{logical.ReadOperation: read, logical.UpdateOperation: write, logical.DeleteOperation: remove}),
			path("login/"+framework.GenericNameRegex("name"), schema{"name": name, "password": password},
				operations{logical.UpdateOperation: login}),
			path("again", nil, operations{logical.ReadOperation: again}),
		},
	}
	return backend, backend.Setup(ctx, conf)
}

type (
	schema     = map[string]*framework.FieldSchema
	operations = map[logical.Operation]framework.OperationFunc
)

func path(pattern string, fields schema, callbacks operations) *framework.Path {
	handlers := map[logical.Operation]framework.OperationHandler{}
	for operation, callback := range callbacks {
		handlers[operation] = &framework.PathOperation{Callback: callback}
	}
	return &framework.Path{Pattern: pattern, Fields: fields, Operations: handlers}
}

func write(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	given, ok := fields.GetOk("password")
	if !ok {
		return logical.ErrorResponse("missing field `password`"), logical.ErrInvalidRequest
	}
	made := user{Password: given.(string), Policies: []string{}, TTL: fields.Get("ttl").(int)}
	for _, policy := range fields.Get("policies").([]any) {
		made.Policies = append(made.Policies, fmt.Sprint(policy))
	}
	entry, err := logical.StorageEntryJSON(key(fields.Get("name").(string)), made)
	if err != nil {
		return nil, err
	}
	return nil, req.Storage.Put(ctx, entry)
}

func read(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	known, err := load(ctx, req.Storage, fields.Get("name").(string))
	if err != nil || known == nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"policies": known.Policies, "ttl": known.TTL}}, nil
}

func remove(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	return nil, req.Storage.Delete(ctx, key(fields.Get("name").(string)))
}

func list(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := req.Storage.List(ctx, key(""))
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return logical.ListResponse(names), nil
}

func login(ctx context.Context, req *logical.Request, fields *framework.FieldData) (*logical.Response, error) {
	name := fields.Get("name").(string)
	known, err := load(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if known == nil || known.Password != fields.Get("password").(string) {
		// Who tries learns nothing of which users there are.
		return logical.ErrorResponse("invalid username or password"), logical.ErrInvalidRequest
	}
	return letIn(name, known), nil
}

func renew(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	if req.Auth == nil {
		return nil, logical.ErrInvalidRequest
	}
	name, _ := req.Auth.InternalData["name"].(string)
	known, err := load(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if known == nil {
		return logical.ErrorResponse("user is gone"), logical.ErrInvalidRequest
	}
	return letIn(name, known), nil
}

// again lets in whoever holds a token already, which no host may take for a login.
func again(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Auth: &logical.Auth{}}, nil
}

func letIn(name string, known *user) *logical.Response {
	return &logical.Response{Auth: &logical.Auth{
		Policies:     known.Policies,
		DisplayName:  name,
		Metadata:     map[string]string{"username": name},
		Alias:        &logical.Alias{Name: name},
		InternalData: map[string]any{"name": name},
		LeaseOptions: logical.LeaseOptions{TTL: time.Duration(known.TTL) * time.Second, Renewable: true},
	}}
}

func key(name string) string {
	return "users/" + name
}

func load(ctx context.Context, storage logical.Storage, name string) (*user, error) {
	entry, err := storage.Get(ctx, key(name))
	if err != nil || entry == nil {
		return nil, err
	}
	known := new(user)
	return known, entry.DecodeJSON(known)
}
