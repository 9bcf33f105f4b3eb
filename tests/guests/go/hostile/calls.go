package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/plugin/pb"
	"google.golang.org/grpc"
)

func passUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	return next(ctx, req)
}

func passStream(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return next(server, stream)
}

// faultAt does what is named when the host calls a method, or at once when the step is Start.
func (t *tricks) faultAt(what, step string, rest []string) error {
	var lag time.Duration
	if len(rest) > 0 {
		var err error
		if lag, err = time.ParseDuration(rest[0]); err != nil {
			return err
		}
	}
	fault := func() {
		switch what {
		case "dies-at":
			os.Exit(3)
		case "panics-at":
			panic("hostile: asked to panic at " + step)
		case "hangs-at":
			// Not `select {}`, which Go finds to be a deadlock before there is anything else.
			time.Sleep(time.Hour)
		case "lags-at":
			time.Sleep(lag)
		}
	}
	if step == "Start" {
		fault()
	}
	t.unary = func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if strings.HasSuffix(info.FullMethod, "/"+step) {
			fault()
		}
		return next(ctx, req)
	}
	return nil
}

// closeBroker ends the stream over which either side tells the other where to connect.
func closeBroker(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if strings.HasSuffix(info.FullMethod, "/StartStream") {
		return nil
	}
	return next(server, stream)
}

// answer gives this data to every request.
func answer(data string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if strings.HasSuffix(info.FullMethod, "/HandleRequest") {
			return &pb.HandleRequestReply{Response: &pb.Response{Data: data}}, nil
		}
		return next(ctx, req)
	}
}

// rewriteHandshake changes the line that go-plugin prints first, and then lets stdout be.
func rewriteHandshake(rewrite func(parts []string) error) error {
	stdout := os.Stdout
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	os.Stdout = writer
	go func() {
		line, _ := bufio.NewReader(reader).ReadString('\n')
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if err := rewrite(parts); err != nil {
			panic(err)
		}
		fmt.Fprintln(stdout, strings.Join(parts, "|"))
		_, _ = io.Copy(stdout, reader)
	}()
	return nil
}

// otherCertificate names a certificate of the same make, whose key nobody serves with.
func otherCertificate(parts []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		DNSNames:              []string{"localhost"},
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	parts[5] = base64.RawStdEncoding.EncodeToString(der)
	return nil
}
