package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/helper/wrapping"
)

// ResponseWrapData hands a plugin from before AutoMTLS its certificate, as Vault does: it answers with a token that says where
// the data can be fetched with it, once.
func (c *catalog) ResponseWrapData(
	_ context.Context, data map[string]any, ttl time.Duration, _ bool,
) (*wrapping.ResponseWrapInfo, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	token, err := signed(map[string]any{
		"addr": "http://" + listener.Addr().String(), "type": "wrapping", "exp": time.Now().Add(ttl).Unix(),
	})
	if err != nil {
		return nil, err
	}
	server := new(http.Server)
	time.AfterFunc(ttl, func() { server.Close() })
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/sys/wrapping/unwrap" || r.Header.Get("X-Vault-Token") != token {
			http.Error(w, `{"errors":["wrapping token is not valid or does not exist"]}`, http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"data": data})
		go server.Shutdown(context.Background())
	})
	go server.Serve(listener)
	return &wrapping.ResponseWrapInfo{Token: token, TTL: ttl}, nil
}

func signed(claims map[string]any) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES512, Key: key}, nil)
	if err != nil {
		return "", err
	}
	if claims["jti"], err = uuid.GenerateUUID(); err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}
