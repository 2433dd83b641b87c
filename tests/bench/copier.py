"""Copies an object inside the store, in parts side by side: what copying costs the
store by itself.

    python3 -m bench.copier ENDPOINT BUCKET SOURCE KEY
"""

import concurrent.futures
import sys

import boto3
import botocore.config

PART = 64 << 20
PARALLEL = 8


def main(endpoint, bucket, source, key):
    s3 = boto3.client("s3", endpoint_url=endpoint, config=botocore.config.Config(
        max_pool_connections=PARALLEL, s3={"addressing_style": "path"}))
    size = s3.head_object(Bucket=bucket, Key=source)["ContentLength"]
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]

    def part(number):
        start = (number - 1) * PART
        copied = s3.upload_part_copy(
            **upload, PartNumber=number, CopySource={"Bucket": bucket, "Key": source},
            CopySourceRange="bytes=%d-%d" % (start, min(start + PART, size) - 1))
        return {"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]}

    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        parts = list(pool.map(part, range(1, -(-size // PART) + 1)))
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


if __name__ == "__main__":
    main(*sys.argv[1:])
